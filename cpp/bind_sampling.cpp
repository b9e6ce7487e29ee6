// Python's view of sampling.hpp. outrider.sampling.Sampler is a thin subclass of the Sampler here.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>

#include "error.hpp"
#include "sampling.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using outrider::Sampler;

namespace {

using Logits = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Weights = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Mask = nb::ndarray<const std::uint32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Tokens = std::vector<std::int32_t>;

template <class T>
nb::ndarray<nb::numpy, T, nb::ndim<1>> array_of(std::size_t size) {
  auto* data = new T[size];
  nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
  return {data, {size}, owner};
}

const float* checked(const Sampler& sampler, const Logits& logits) {
  if (logits.shape(0) != static_cast<std::size_t>(sampler.vocab_size())) {
    throw outrider::UsageError("A row of " + std::to_string(logits.shape(0)) +
                               " logits does not fit a vocabulary of " +
                               std::to_string(sampler.vocab_size()) + " tokens.");
  }
  return logits.data();
}

const std::uint32_t* checked(const Sampler& sampler, const std::optional<Mask>& mask) {
  if (!mask) return nullptr;
  const auto words = (static_cast<std::size_t>(sampler.vocab_size()) + 31) / 32;
  if (mask->shape(0) != words) {
    throw outrider::UsageError("A mask of " + std::to_string(mask->shape(0)) +
                               " words does not fit a vocabulary of " +
                               std::to_string(sampler.vocab_size()) + " tokens, which needs " +
                               std::to_string(words) + ".");
  }
  return mask->data();
}

}  // namespace

void bind_sampling(nb::module_& m) {
  nb::class_<Sampler>(m, "Sampler", "Chooses tokens from logits; see outrider.sampling.Sampler.")
      .def(
          "__init__",
          [](Sampler* self, double temperature, std::int64_t top_k, double top_p, double min_p,
             double repetition_penalty, double presence_penalty, double frequency_penalty,
             std::vector<std::pair<std::int64_t, double>> logit_bias, int vocab_size,
             std::uint64_t seed, std::uint64_t index, std::uint32_t stream, const Tokens& prompt) {
            new (self) Sampler({temperature, top_k, top_p, min_p, repetition_penalty,
                                presence_penalty, frequency_penalty, std::move(logit_bias)},
                               vocab_size, {seed, index, stream}, prompt.data(), prompt.size());
          },
          "temperature"_a, "top_k"_a, "top_p"_a, "min_p"_a, "repetition_penalty"_a,
          "presence_penalty"_a, "frequency_penalty"_a, "logit_bias"_a, "vocab_size"_a, "seed"_a,
          "index"_a, "stream"_a, "prompt"_a)
      .def(nb::init<const Sampler&, std::uint64_t, std::uint32_t>(), "other"_a, "index"_a,
           "stream"_a)
      .def(
          "choose",
          [](Sampler& self, const Logits& logits, std::int64_t position, const Tokens& path,
             const std::optional<Mask>& mask) {
            return self.choose(checked(self, logits), position, path.data(), path.size(),
                               checked(self, mask));
          },
          "logits"_a, "position"_a, "path"_a = Tokens(), "mask"_a = nb::none())
      .def(
          "processed",
          [](Sampler& self, const Logits& logits, const Tokens& path,
             const std::optional<Mask>& mask) {
            auto out = array_of<double>(self.vocab_size());
            self.processed(checked(self, logits), path.data(), path.size(), checked(self, mask),
                           out.data());
            return out;
          },
          "logits"_a, "path"_a = Tokens(), "mask"_a = nb::none())
      .def(
          "probabilities",
          [](Sampler& self, const Logits& logits, const Tokens& path,
             const std::optional<Mask>& mask) {
            auto out = array_of<double>(self.vocab_size());
            self.probabilities(checked(self, logits), path.data(), path.size(), checked(self, mask),
                               out.data());
            return out;
          },
          "logits"_a, "path"_a = Tokens(), "mask"_a = nb::none())
      .def(
          "candidates",
          [](Sampler& self, const Logits& logits, std::int64_t position, const Tokens& path,
             int k) {
            Tokens ids;
            std::vector<double> values;
            self.candidates(checked(self, logits), position, path.data(), path.size(), k, ids,
                            values);
            return nb::make_tuple(ids, values);
          },
          "logits"_a, "position"_a, "path"_a, "k"_a)
      .def(
          "noise",
          [](const Sampler& self, std::int64_t position, const Tokens& tokens) {
            auto out = array_of<double>(tokens.size());
            self.noise(position, tokens.data(), tokens.size(), out.data());
            return out;
          },
          "position"_a, "tokens"_a)
      .def(
          "draw",
          [](const Sampler& self, const Weights& weights, std::int64_t position,
             std::uint32_t stream) {
            if (weights.shape(0) != static_cast<std::size_t>(self.vocab_size())) {
              throw outrider::UsageError(std::to_string(weights.shape(0)) +
                                         " weights do not fit a vocabulary of " +
                                         std::to_string(self.vocab_size()) + " tokens.");
            }
            return outrider::draw(weights.data(), self.vocab_size(),
                                  {self.key().seed, self.key().index, stream}, position);
          },
          "weights"_a, "position"_a, "stream"_a)
      .def(
          "advance",
          [](Sampler& self, const Tokens& tokens) { self.advance(tokens.data(), tokens.size()); },
          "tokens"_a)
      .def_prop_ro("vocab_size", &Sampler::vocab_size)
      .def_prop_ro("seed", [](const Sampler& self) { return self.key().seed; })
      .def_prop_ro("index", [](const Sampler& self) { return self.key().index; })
      .def_prop_ro("stream", [](const Sampler& self) { return self.key().stream; });

  m.def(
      "logprob",
      [](const Logits& logits, int token) {
        return outrider::logprob(logits.data(), static_cast<int>(logits.shape(0)), token);
      },
      "logits"_a, "token"_a);
  m.def(
      "top",
      [](const Logits& logits, int k) {
        auto ids = array_of<std::int32_t>(k > 0 ? k : 0);
        auto logprobs = array_of<double>(k > 0 ? k : 0);
        outrider::top(logits.data(), static_cast<int>(logits.shape(0)), k, ids.data(),
                      logprobs.data());
        return nb::make_tuple(ids, logprobs);
      },
      "logits"_a, "k"_a);
  m.def("sampling_kernels", &outrider::sampling_kernels);
  m.def("use_sampling_kernels", &outrider::use_sampling_kernels, "name"_a);
}
