// Python's view of control.hpp, pass_times.hpp and cost_rule.hpp.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include <utility>

#include "control.hpp"
#include "cost_rule.hpp"
#include "error.hpp"
#include "pass_times.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace outrider;

namespace {

using Parents = std::vector<std::vector<std::int32_t>>;
using Probabilities = std::vector<std::vector<double>>;
using Numbers = std::vector<std::int64_t>;

std::vector<Candidates> candidates(Parents& parents, Probabilities& probabilities,
                                   const Numbers& most) {
  const auto size = parents.size();
  if (probabilities.size() != size || most.size() != size) {
    throw UsageError("The drafts differ in number from what is said of them.");
  }
  std::vector<Candidates> drafts;
  drafts.reserve(size);
  for (std::size_t i = 0; i < size; ++i) {
    drafts.push_back({std::move(parents[i]), std::move(probabilities[i]), most[i], 0.0});
  }
  return drafts;
}

}  // namespace

void bind_control(nb::module_& m) {
  m.def(
      "best_prefix",
      [](Parents parents, Probabilities probabilities, const Numbers& most,
         const std::vector<double>& row_ms,
         const nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>& pass_ms,
         double tokens, double gain) {
        auto drafts = candidates(parents, probabilities, most);
        if (row_ms.size() != drafts.size()) {
          throw UsageError("The drafts differ in number from what is said of them.");
        }
        for (std::size_t i = 0; i < drafts.size(); ++i) drafts[i].row_ms = row_ms[i];
        return best_prefix(drafts, pass_ms.data(), pass_ms.shape(0), tokens, gain);
      },
      "parents"_a, "probabilities"_a, "most"_a, "row_ms"_a, "pass_ms"_a, "tokens"_a, "gain"_a);

  nb::class_<PassTimes>(m, "PassTimes", "See outrider.control.passes.")
      .def(
          "__init__",
          [](PassTimes* self, const std::vector<double>& measured, double first_ms,
             double further_ms, double sequence_ms) {
            new (self) PassTimes(measured, {first_ms, further_ms, sequence_ms});
          },
          "measured"_a, "first_ms"_a, "further_ms"_a, "sequence_ms"_a)
      .def(
          "ms",
          [](const PassTimes& self, const SequenceRows& rows, std::size_t further) {
            return self.ms(rows, further);
          },
          "rows"_a, "further"_a = 0)
      .def("row_ms", &PassTimes::row_ms, "context"_a)
      .def("observe", &PassTimes::observe, "rows"_a, "ms"_a);
  m.attr("LARGEST") = PassTimes::kLargest;

  nb::class_<CostRule>(m, "CostRule", "The arithmetic of outrider.control.cost.")
      .def(nb::init<const PassTimes&, std::int64_t, double>(), "passes"_a, "max_nodes"_a, "gain"_a)
      .def(
          "limit",
          [](CostRule& self, const Numbers& ids, const Numbers& contexts, const SequenceRows& rows,
             std::size_t decoding, std::int64_t budget) {
            DraftLimits limits = self.limit(ids, contexts, rows, decoding, budget);
            return std::pair(limits.nodes, std::move(limits.probability));
          },
          "ids"_a, "contexts"_a, "rows"_a, "decoding"_a, "budget"_a)
      .def(
          "choose",
          [](CostRule& self, Parents parents, Probabilities probabilities, const Numbers& most,
             std::size_t decoding, std::int64_t budget) {
            return self.choose(candidates(parents, probabilities, most), decoding, budget);
          },
          "parents"_a, "probabilities"_a, "most"_a, "decoding"_a, "budget"_a)
      .def("passed", &CostRule::passed, "sequences"_a)
      .def(
          "observe",
          [](CostRule& self, const SequenceRows& rows, std::int64_t accepted, double draft_ms,
             double pass_ms, double sampling_ms, std::optional<double> rest_ms) {
            self.observe(rows, accepted, {draft_ms, pass_ms, sampling_ms, rest_ms});
          },
          "rows"_a, "accepted"_a, "draft_ms"_a, "pass_ms"_a, "sampling_ms"_a, "rest_ms"_a.none());
  m.attr("PROBE_NODES") = Calls::kProbeNodes;
}
