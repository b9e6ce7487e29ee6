// Python's view of control.hpp.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include "control.hpp"
#include "error.hpp"

namespace nb = nanobind;
using namespace nb::literals;

void bind_control(nb::module_& m) {
  m.def(
      "best_prefix",
      [](const std::vector<std::vector<std::int32_t>>& parents,
         const std::vector<std::vector<double>>& probabilities,
         const std::vector<std::int64_t>& most, const std::vector<double>& row_ms,
         const nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>& pass_ms,
         double tokens, double gain) {
        const auto size = parents.size();
        if (probabilities.size() != size || most.size() != size || row_ms.size() != size) {
          throw outrider::UsageError("The drafts differ in number from what is said of them.");
        }
        std::vector<outrider::Candidates> drafts;
        drafts.reserve(size);
        for (std::size_t i = 0; i < size; ++i) {
          drafts.push_back({parents[i], probabilities[i], most[i], row_ms[i]});
        }
        return outrider::best_prefix(drafts, pass_ms.data(), pass_ms.shape(0), tokens, gain);
      },
      "parents"_a, "probabilities"_a, "most"_a, "row_ms"_a, "pass_ms"_a, "tokens"_a, "gain"_a);
}
