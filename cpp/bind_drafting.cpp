// Python's view of draft_grower.hpp, for outrider.drafters.free.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "draft_grower.hpp"
#include "error.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace outrider;

namespace {

using Tokens = std::vector<int32_t>;
template <class T>
using Matrix2d = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

constexpr std::array<std::string_view, kSources> kNames = {"ngram", "suffix", "recycle"};

std::array<bool, kSources> sources(const std::vector<std::string>& names) {
  std::array<bool, kSources> used{};
  for (const std::string& name : names) {
    const auto at = std::find(kNames.begin(), kNames.end(), name);
    if (at == kNames.end()) throw UsageError("There is no source of drafts named '" + name + "'.");
    used[at - kNames.begin()] = true;
  }
  return used;
}

template <class Values, class Convert>
nb::tuple tuple_of(const Values& values, const Convert& convert) {
  nb::object tuple = nb::steal(PyTuple_New(static_cast<Py_ssize_t>(values.size())));
  for (size_t i = 0; i < values.size(); ++i) {
    PyTuple_SET_ITEM(tuple.ptr(), static_cast<Py_ssize_t>(i), convert(values[i]).release().ptr());
  }
  return nb::borrow<nb::tuple>(tuple);
}

nb::tuple draft(Grower& grower, int64_t id, const Tokens& tokens, int max_nodes, int max_depth,
                double min_path_probability) {
  grower.extend(id, tokens);
  const DraftTree tree = grower.draft(id, {max_nodes, max_depth, min_path_probability});
  const auto number = [](int32_t value) { return nb::int_(value); };
  return nb::make_tuple(
      tuple_of(tree.tokens, number), tuple_of(tree.parents, number),
      tuple_of(tree.probabilities, [](double value) { return nb::float_(value); }),
      tuple_of(tree.origins, [](Source source) {
        const std::string_view name = kNames[static_cast<int>(source)];
        return nb::str(name.data(), name.size());
      }));
}

// The k likeliest continuations of rows `first` to `first` + nodes are those of this request.
void recycle(Grower& grower, int64_t id, const Tokens& tokens, const Tokens& parents,
             const Matrix2d<int32_t>& continuations, const Matrix2d<float>& logits, size_t first) {
  const auto k = static_cast<size_t>(grower.k());
  const size_t end = first + 1 + tokens.size();
  if (tokens.size() != parents.size() || continuations.shape(1) != k || logits.shape(1) != k ||
      continuations.shape(0) < end || logits.shape(0) < end) {
    throw UsageError("The continuations of " + std::to_string(tokens.size() + 1) + " rows, " +
                     std::to_string(k) + " each, are needed.");
  }
  for (size_t node = 0; node < parents.size(); ++node) {
    if (parents[node] < -1 || parents[node] >= static_cast<int32_t>(node)) {
      throw UsageError("Node " + std::to_string(node) + " does not follow its parent.");
    }
  }
  grower.recycle(id,
                 {tokens, parents, continuations.data() + first * k, logits.data() + first * k});
}

}  // namespace

void bind_drafting(nb::module_& m) {
  nb::class_<Grower>(m, "Grower", "Grows draft trees; see outrider.drafters.free.")
      .def(
          "__init__",
          [](Grower* self, const std::vector<std::string>& names, int vocab_size, bool branches,
             int min_match, int max_match, bool past, int k) {
            new (self)
                Grower({sources(names), vocab_size, branches, min_match, max_match, past, k});
          },
          "sources"_a, "vocab_size"_a, "branches"_a, "min_match"_a, "max_match"_a, "past"_a, "k"_a)
      .def(
          "begin",
          [](Grower& self, int64_t id, int64_t prompt_length, double temperature,
             const Sampler* sampler) {
            self.begin(id, prompt_length, temperature,
                       sampler ? std::optional(sampler->key()) : std::nullopt);
          },
          "id"_a, "prompt_length"_a, "temperature"_a, "sampler"_a.none() = nb::none())
      .def(
          "extend", [](Grower& self, int64_t id, const Tokens& tokens) { self.extend(id, tokens); },
          "id"_a, "tokens"_a)
      .def("draft", &draft, "id"_a, "tokens"_a, "max_nodes"_a, "max_depth"_a,
           "min_path_probability"_a)
      .def(
          "judge", [](Grower& self, int64_t id, const Tokens& came) { self.judge(id, came); },
          "id"_a, "came"_a)
      .def("recycle", &recycle, "id"_a, "tokens"_a, "parents"_a, "continuations"_a, "logits"_a,
           "first"_a)
      .def("end", &Grower::end, "id"_a)
      .def("reset", &Grower::reset)
      .def_prop_ro("k", &Grower::k)
      .def_prop_ro("past_tokens", &Grower::past_tokens);
  m.attr("PAST_TOKENS") = Grower::kPastTokens;
}
