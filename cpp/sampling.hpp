// From logits to a token: mask, bias, penalties, temperature, min-p, top-k, top-p, seeded noise.
//
// The noise of a token depends on (seed, completion index, stream, position, token) and on nothing
// else, so whoever asks about the same position makes the same choice. `outrider.sampling` holds
// the same mathematics in numpy, which this is tested against.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace outrider {

// The settings of outrider.types.Sampling, which has checked their ranges.
struct SamplingSettings {
  double temperature = 0.0;
  std::int64_t top_k = 0;
  double top_p = 1.0;
  double min_p = 0.0;
  double repetition_penalty = 1.0;
  double presence_penalty = 0.0;
  double frequency_penalty = 0.0;
  std::vector<std::pair<std::int64_t, double>> logit_bias;
};

// What the noise of one completion and one use of it is keyed by.
struct NoiseKey {
  std::uint64_t seed = 0;
  std::uint64_t index = 0;
  std::uint32_t stream = 0;
};

// Tokens that penalties look back on: the prompt's and the output's.
class History {
 public:
  explicit History(int vocab_size) : states_(vocab_size) {}

  void add_prompt(std::int32_t token);
  void push(std::int32_t token);
  // Takes back the last `push`, which has to have been of this token.
  void pop(std::int32_t token);

  // The distinct tokens of prompt and output.
  const std::vector<std::int32_t>& seen() const { return seen_; }
  int output_count(std::int32_t token) const { return states_[token] >> 1; }

 private:
  // Twice the count in the output, plus one where the prompt has the token.
  std::vector<std::int32_t> states_;
  std::vector<std::int32_t> seen_;
};

// A row of logits, float32[vocab_size]; with the maxima of its groups where they are known already.
struct Logits {
  Logits(const float* values, const float* maxima = nullptr) : values(values), maxima(maxima) {}

  const float* values;
  const float* maxima;
};

// The maxima that n logits have.
std::size_t maxima_size(int n);
// Finds one of `parts` parts of them: best done by the thread that computed these logits, for they
// are in its cache, and choosing a token then hardly needs to look at the others.
void find_maxima(const float* logits, int n, int part, int parts, float* maxima);

class Sampler {
 public:
  // Throws UsageError for a biased or prompt token outside the vocabulary.
  Sampler(SamplingSettings settings, int vocab_size, NoiseKey key, const std::int32_t* prompt,
          std::size_t prompt_length);
  // The same settings and history under another completion index or stream.
  Sampler(const Sampler& other, std::uint64_t index, std::uint32_t stream);

  // The token at `position`, given float32[vocab_size] logits and the drafted tokens between the
  // history and the choice. `mask` is packed bits of allowed tokens, or null for all.
  // Throws SamplingError where the logits are not numbers or no token is left.
  int choose(Logits logits, std::int64_t position, const std::int32_t* path = nullptr,
             std::size_t path_length = 0, const std::uint32_t* mask = nullptr);

  // What the noise is added to, into float64[vocab_size]: (logit - largest) / temperature, minus
  // infinity for removed tokens. At temperature 0 only the chosen token stays.
  void processed(Logits logits, const std::int32_t* path, std::size_t path_length,
                 const std::uint32_t* mask, double* out);

  // The distribution that `choose` draws from, into float64[vocab_size]: the same tokens stay, but
  // for those less than e^-700 times as likely as the likeliest.
  void probabilities(Logits logits, const std::int32_t* path, std::size_t path_length,
                     const std::uint32_t* mask, double* out);

  // The at most k tokens that `choose` would choose, best first, each if it could not have chosen
  // those before it; ties go to the lower id. Their values are (logit - largest) / temperature +
  // noise. At temperature 0 they are the largest logits, as logit - largest.
  void candidates(Logits logits, std::int64_t position, const std::int32_t* path,
                  std::size_t path_length, int k, std::vector<std::int32_t>& ids,
                  std::vector<double>& values);

  // Gumbel noise of some tokens at a position.
  void noise(std::int64_t position, const std::int32_t* tokens, std::size_t count,
             double* out) const;

  // These tokens were chosen: they are output now.
  void advance(const std::int32_t* tokens, std::size_t count);

  int vocab_size() const { return vocab_size_; }
  const NoiseKey& key() const { return key_; }

 private:
  Logits patched(Logits logits, const std::int32_t* path, std::size_t path_length,
                 const std::uint32_t* mask);
  void penalise(float* row) const;
  void check(const std::int32_t* tokens, std::size_t count) const;

  std::shared_ptr<const SamplingSettings> settings_;
  int vocab_size_;
  NoiseKey key_;
  std::unique_ptr<History> history_;  // only where a penalty is on
};

// Gumbel noise of some tokens at a position.
void gumbel_noise(const NoiseKey& key, std::int64_t position, const std::int32_t* tokens,
                  std::size_t count, double* out);

// A draw from `n` weights, which need not sum to one: the token with the least E / weight, where
// E = -log1p(-v) is the exponential noise of the token at the position, v = (h + 1/2) / 2^32. That
// is the Gumbel-max trick without its outer logarithm. Ties go to the lower id. Throws
// SamplingError where no weight is positive.
int draw(const double* weights, int n, const NoiseKey& key, std::int64_t position);

// The log-probability of a token under the raw model. Throws as `top` does.
double logprob(Logits logits, int n, int token);

// The k likeliest tokens and their raw log-probabilities, best first; ties go to the lower id.
// Throws SamplingError where the logits are not numbers, UsageError for k or token out of range.
void top(Logits logits, int n, int k, std::int32_t* ids, double* logprobs);

// The same with the logits themselves, which spares the sum over all of them. Where they are not
// numbers, all ids are -1.
void best(Logits logits, int n, int k, std::int32_t* ids, float* values);

// The instruction sets that the loops over the vocabulary can use here, the fastest first. That
// one is used, unless another is asked for; the results are the same bytes.
std::vector<std::string> sampling_kernels();
void use_sampling_kernels(const std::string& name);

}  // namespace outrider
