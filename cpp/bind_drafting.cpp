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

// The tokens of `text` from `first` on, which are few: a text may be long.
Tokens tail(const nb::list& text, size_t first) {
  Tokens tokens;
  for (size_t i = first; i < text.size(); ++i) tokens.push_back(nb::cast<int32_t>(text[i]));
  return tokens;
}

void check_tree(const Tokens& tokens, const Tokens& parents) {
  if (tokens.size() != parents.size()) {
    throw UsageError("A tree's tokens and parents differ in length.");
  }
  for (size_t node = 0; node < parents.size(); ++node) {
    if (parents[node] < -1 || parents[node] >= static_cast<int32_t>(node)) {
      throw UsageError("Node " + std::to_string(node) + " does not follow its parent.");
    }
  }
}

void same_number(size_t requests, std::initializer_list<size_t> others) {
  for (const size_t other : others) {
    if (other != requests) throw UsageError("The requests differ in number from what is said.");
  }
}

nb::tuple to_python(const DraftTree& tree) {
  const auto number = [](int32_t value) { return nb::int_(value); };
  return nb::make_tuple(
      tuple_of(tree.tokens, number), tuple_of(tree.parents, number),
      tuple_of(tree.probabilities, [](double value) { return nb::float_(value); }),
      tuple_of(tree.origins, [](Source source) {
        const std::string_view name = kNames[static_cast<int>(source)];
        return nb::str(name.data(), name.size());
      }));
}

// What is new of each text is read before; of a request that is asked for nothing it waits.
nb::list draft(Grower& grower, const std::vector<int64_t>& ids, const std::vector<nb::list>& texts,
               const std::vector<int>& max_nodes, const std::vector<int>& max_depth,
               const std::vector<double>& min_path_probability) {
  same_number(ids.size(),
              {texts.size(), max_nodes.size(), max_depth.size(), min_path_probability.size()});
  nb::list trees;
  for (size_t i = 0; i < ids.size(); ++i) {
    const size_t known = grower.length(ids[i]);
    DraftTree tree;
    if (max_nodes[i] > 0) {
      grower.extend(ids[i], tail(texts[i], known));
      tree = grower.draft(ids[i], {max_nodes[i], max_depth[i], min_path_probability[i]});
    }
    trees.append(to_python(tree));
  }
  return trees;
}

// The continuations are those of the rows of all requests, one request's behind the other's.
void observe(Grower& grower, const std::vector<int64_t>& ids, const std::vector<nb::list>& texts,
             const std::vector<size_t>& came, const std::vector<Tokens>& tokens,
             const std::vector<Tokens>& parents, const Matrix2d<int32_t>& continuations,
             const Matrix2d<float>& logits) {
  same_number(ids.size(), {texts.size(), came.size(), tokens.size(), parents.size()});
  size_t rows = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    check_tree(tokens[i], parents[i]);
    rows += 1 + tokens[i].size();
  }
  const size_t k = grower.recycles() ? grower.k() : 0;
  if (k && (continuations.shape(1) != k || logits.shape(1) != k || continuations.shape(0) < rows ||
            logits.shape(0) < rows)) {
    throw UsageError("The continuations of " + std::to_string(rows) + " rows, " +
                     std::to_string(k) + " each, are needed.");
  }
  std::vector<VerifiedStep> steps;
  size_t first = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    // Steps that nothing was learned from are read unjudged.
    const Tokens unread = tail(texts[i], grower.length(ids[i]));
    const auto last = unread.end() - static_cast<std::ptrdiff_t>(std::min(came[i], unread.size()));
    grower.extend(ids[i], {unread.begin(), last});
    steps.push_back({ids[i],
                     {last, unread.end()},
                     tokens[i],
                     parents[i],
                     continuations.data() + first * k,
                     logits.data() + first * k});
    first += 1 + tokens[i].size();
  }
  grower.observe(steps);
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
      .def("draft", &draft, "ids"_a, "texts"_a, "max_nodes"_a, "max_depth"_a,
           "min_path_probability"_a)
      .def("observe", &observe, "ids"_a, "texts"_a, "came"_a, "tokens"_a, "parents"_a,
           "continuations"_a, "logits"_a)
      .def(
          "end",
          [](Grower& self, int64_t id, const nb::list& text) {
            if (self.knows(id)) self.extend(id, tail(text, self.length(id)));
            self.end(id);
          },
          "id"_a, "text"_a)
      .def("reset", &Grower::reset)
      .def_prop_ro("k", &Grower::k)
      .def_prop_ro("past_tokens", &Grower::past_tokens);
  m.attr("PAST_TOKENS") = Grower::kPastTokens;
}
