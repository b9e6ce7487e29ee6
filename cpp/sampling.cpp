#include "sampling.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cfloat>
#include <cmath>
#include <functional>
#include <limits>
#include <span>
#include <string>

#include "error.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace outrider {
namespace {

constexpr float INFINITE = std::numeric_limits<float>::infinity();
constexpr float MINUS_INFINITY = -INFINITE;
constexpr double LN2 = 0x1.62e42fefa39efp-1;
// ln 2 in two parts, the first short enough that its product with an exponent is exact.
constexpr double LN2_HIGH = 0x1.62e42feep-1;
constexpr double LN2_LOW = 0x1.a39ef35793c76p-33;

// The natural logarithm of a positive normal number. x = m 2^k with m within a factor of the root
// of 2 around 1, and log m = 2 artanh s with s = (m - 1) / (m + 1), |s| < 0.172, by its series.
double logarithm(double x) {
  const auto bits = std::bit_cast<std::uint64_t>(x);
  constexpr std::uint64_t root_half = 0x3fe6a09e667f3bcd;
  const auto k = static_cast<std::int64_t>(bits - root_half) >> 52;
  const double m = std::bit_cast<double>(bits - (static_cast<std::uint64_t>(k) << 52));
  const double s = (m - 1.0) / (m + 1.0);
  const double z = s * s;
  double sum = 1.0 / 21.0;
  for (double odd = 19.0; odd > 1.0; odd -= 2.0) sum = sum * z + 1.0 / odd;
  const auto exponent = static_cast<double>(k);
  return exponent * LN2_HIGH + (2.0 * s + (2.0 * s * (z * sum) + exponent * LN2_LOW));
}

// ---------------------------------------------------------------- noise

// The finaliser of splitmix64.
std::uint64_t mix64(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31);
}

// The two words that stand for seed, completion index, stream and position.
struct HashKey {
  std::uint32_t first, second;

  HashKey(const NoiseKey& key, std::int64_t position) {
    std::uint64_t state = key.seed;
    for (std::uint64_t value :
         {key.index, std::uint64_t{key.stream}, static_cast<std::uint64_t>(position)}) {
      state = mix64(state + 0x9e3779b97f4a7c15U) ^ value;
    }
    state = mix64(state + 0x9e3779b97f4a7c15U);
    first = static_cast<std::uint32_t>(state);
    second = static_cast<std::uint32_t>(state >> 32);
  }
};

double uniform(std::uint32_t h) { return (h + 0.5) * 0x1p-32; }

// v and 1 - v are exact, so log(1 - v) is as good as log1p(-v).
double exponential(double v) { return -logarithm(1.0 - v); }

double gumbel(std::uint32_t h) { return -logarithm(exponential(uniform(h))); }

// ---------------------------------------------------------------- loops over the vocabulary

constexpr int LANES = 16;
// A group is one lane of a block: the tokens block * BLOCK + lane + LANES * i. Its maximum stands
// for all of them, and lanes never have to be folded.
constexpr int BLOCK = 256;

// One set for each instruction set; all give the same bytes. See sampling_kernels.inc.
struct Kernels {
  const char* name;
  void (*hash_lanes)(const std::int32_t* tokens, HashKey key, std::uint32_t* hashed);
  void (*group_maxima)(const float* row, int first, int n, float* maxima);
  float (*largest_of)(const float* maxima, int groups);
  double (*weigh)(const float* row, int n, double peak, double inverse_temperature, double limit,
                  double* weights);
  void (*noise_bounds)(const float* logits, const std::int32_t* ids, int n, HashKey key,
                       float temperature, float* maxima);
  void (*add_mask)(const float* logits, int n, const std::uint32_t* mask, float* out);
  std::size_t (*between)(const float* row, int n, const float* maxima, float low, float high,
                         std::int32_t* found);
};

#define INLINE inline __attribute__((always_inline))
#define KERNELS(NAME) \
  {NAME, hash_lanes, group_maxima, largest_of, weigh, noise_bounds, add_mask, between}

namespace portable {
#define VECTOR_BYTES 16
#include "sampling_kernels.inc"
#undef VECTOR_BYTES
constexpr Kernels kernels = KERNELS("portable");
}  // namespace portable

#if defined(__x86_64__)
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif
namespace avx2 {
#define VECTOR_BYTES 32
#include "sampling_kernels.inc"
#undef VECTOR_BYTES
constexpr Kernels kernels = KERNELS("avx2");
}  // namespace avx2
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f")
#endif
namespace avx512 {
#define VECTOR_BYTES 64
#include "sampling_kernels.inc"
#undef VECTOR_BYTES
constexpr Kernels kernels = KERNELS("avx512");
}  // namespace avx512
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

#undef INLINE
#undef KERNELS

// What this machine can run, the fastest first.
std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> sets;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) sets.push_back(&avx512::kernels);
  if (__builtin_cpu_supports("avx2")) sets.push_back(&avx2::kernels);
#endif
  sets.push_back(&portable::kernels);
  return sets;
}

std::atomic<const Kernels*> chosen_kernels = available_kernels().front();

const Kernels& kernels() { return *chosen_kernels.load(std::memory_order_relaxed); }

int blocks(int n) { return (n + BLOCK - 1) / BLOCK; }

}  // namespace

std::size_t maxima_size(int n) { return static_cast<std::size_t>(blocks(n)) * LANES; }

void find_maxima(const float* logits, int n, int part, int parts, float* maxima) {
  const int first = blocks(n) * part / parts * BLOCK;
  const int last = std::min(blocks(n) * (part + 1) / parts * BLOCK, n);
  kernels().group_maxima(logits, first, last, maxima);
}

namespace {

// ---------------------------------------------------------------- rows and candidates

struct Candidate {
  float logit;
  std::int32_t id;
  double weight;
};

// Likelier first; ties go to the lower id.
bool before(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

// Memory that is used again from one choice to the next; nothing in it outlives a call.
struct Scratch {
  std::vector<float> patched, maxima, parts, logits;
  std::vector<double> weights;
  std::vector<std::int32_t> ids, found;
  std::vector<Candidate> candidates, band;
};
thread_local Scratch scratch;

// A row of logits with the maxima of its groups.
class Row {
 public:
  Row(Logits logits, int n)
      : logits_(logits.values),
        maxima_(logits.maxima),
        n_(n),
        groups_(static_cast<int>(maxima_size(n))) {
    if (maxima_ == nullptr) {
      scratch.maxima.resize(groups_);
      kernels().group_maxima(logits_, 0, n, scratch.maxima.data());
      maxima_ = scratch.maxima.data();
    }
    peak_ = kernels().largest_of(maxima_, groups_);
    if (peak_ == INFINITE) {
      throw SamplingError(
          "The logits hold NaN or infinity, so no token can be chosen; the model file or the "
          "penalties and biases of the request are at fault.");
    }
    if (peak_ == MINUS_INFINITY) {
      throw SamplingError(
          "No token is left to choose from; loosen the constraint or the bias that excludes them.");
    }
  }

  float peak() const { return peak_; }
  int size() const { return n_; }
  const float* data() const { return logits_; }
  float operator[](int token) const { return logits_[token]; }

  // The tokens with low <= logit < high, ascending; valid until the next call.
  std::span<const std::int32_t> between(float low, float high) const {
    scratch.found.resize(static_cast<std::size_t>(n_) + LANES);
    std::int32_t* found = scratch.found.data();
    return {found, kernels().between(logits_, n_, maxima_, low, high, found)};
  }

  int argmax() const { return between(peak_, INFINITE).front(); }

  // A limit that at least k tokens reach, and not many more: the k-th largest of some maxima over
  // disjoint parts of the row, the groups or, while there are plenty, pairs of them and so on.
  float limit_for(std::int64_t k) const {
    if (k > groups_) return MINUS_INFINITY;
    auto& parts = scratch.parts;
    parts.assign(maxima_, maxima_ + groups_);
    while (static_cast<std::int64_t>(parts.size()) >= 8 * k) {
      const std::size_t half = parts.size() / 2;
      const std::size_t rest = parts.size() - half;
      for (std::size_t i = 0; i < half; ++i) parts[i] = std::max(parts[i], parts[rest + i]);
      parts.resize(rest);
    }
    std::nth_element(parts.begin(), parts.begin() + (k - 1), parts.end(), std::greater<>());
    return parts[k - 1];
  }

  void collect(float low, float high, std::vector<Candidate>& into) const {
    for (const std::int32_t token : between(low, high)) {
      into.push_back({logits_[token], token, 0.0});
    }
  }

  // The k likeliest tokens of those that reach `limit`, in no order.
  void collect_top(std::int64_t k, float limit, std::vector<Candidate>& into) const {
    collect(std::max(limit, limit_for(k)), INFINITE, into);
    if (static_cast<std::int64_t>(into.size()) > k) {
      std::nth_element(into.begin(), into.begin() + k, into.end(), before);
      into.resize(k);
    }
  }

 private:
  const float* logits_;
  const float* maxima_;
  int n_;
  int groups_;
  float peak_;
};

// Sets the weights of the candidates, e^((logit - peak) / temperature), and returns their sum.
double weigh(std::vector<Candidate>& candidates, double peak, double inverse_temperature) {
  const std::size_t n = candidates.size();
  scratch.logits.resize(n);
  scratch.weights.resize(n);
  for (std::size_t i = 0; i < n; ++i) scratch.logits[i] = candidates[i].logit;
  const double sum = kernels().weigh(scratch.logits.data(), static_cast<int>(n), peak,
                                     inverse_temperature, -FLT_MAX, scratch.weights.data());
  for (std::size_t i = 0; i < n; ++i) candidates[i].weight = scratch.weights[i];
  return sum;
}

// Drops all but the fewest likeliest candidates whose weights, on top of `sum`, reach `target`.
// Halves the part in which that happens again and again, so that nothing is sorted.
void cut_at(std::vector<Candidate>& candidates, double sum, double target) {
  auto first = candidates.begin();
  auto last = candidates.end();
  while (last - first > 1) {
    const auto middle = first + (last - first) / 2;
    std::nth_element(first, middle, last, before);
    double upper = sum;
    for (auto c = first; c != middle; ++c) upper += c->weight;
    if (upper >= target) {
      last = middle;
    } else {
      sum = upper;
      first = middle;
    }
  }
  candidates.erase(last, candidates.end());
}

// Top-p over all tokens that reach `limit`: bands of falling logits are taken whole until the
// one that reaches the target, which is cut. Below e^-40 of the likeliest there is hardly a
// nucleus left to find, so the last band is all the rest.
void collect_nucleus(const Row& row, double temperature, double inverse_temperature, double top_p,
                     float limit, std::vector<Candidate>& into) {
  const double peak = row.peak();
  const double target =
      top_p * kernels().weigh(row.data(), row.size(), peak, inverse_temperature, limit, nullptr);
  auto& band = scratch.band;
  double sum = 0.0;
  float high = INFINITE;
  for (double drop = 4.0; high > limit; drop += 1.0) {
    const float low =
        drop > 40.0 ? limit : std::max(limit, static_cast<float>(peak - drop * temperature));
    band.clear();
    row.collect(low, high, band);
    const double more = weigh(band, peak, inverse_temperature);
    const bool reached = sum + more >= target;
    if (reached) cut_at(band, sum, target);
    into.insert(into.end(), band.begin(), band.end());
    if (reached) return;
    sum += more;
    high = low;
  }
}

// What stays of a row after min-p, top-k and top-p.
class Filter {
 public:
  Filter(const SamplingSettings& settings, int vocab_size)
      : temperature_(settings.temperature),
        // Beyond this a difference of logits is as good as infinite, and 0 stays 0.
        inverse_temperature_(std::min(1.0 / settings.temperature, 1e300)),
        top_k_(settings.top_k < vocab_size ? settings.top_k : 0),
        top_p_(settings.top_p),
        min_p_(settings.min_p) {}

  double inverse_temperature() const { return inverse_temperature_; }

  bool keeps_all() const { return top_k_ == 0 && top_p_ >= 1.0 && min_p_ <= 0.0; }

  void collect(const Row& row, std::vector<Candidate>& kept) const {
    kept.clear();
    const float limit = lowest(row.peak());
    if (top_k_ > 0) {
      row.collect_top(top_k_, limit, kept);
      if (top_p_ < 1.0) {
        // A fixed order, so that the total does not hang on how the selection shuffled them.
        std::sort(kept.begin(), kept.end(), before);
        cut_at(kept, 0.0, top_p_ * weigh(kept, row.peak(), inverse_temperature_));
      }
    } else if (top_p_ < 1.0) {
      collect_nucleus(row, temperature_, inverse_temperature_, top_p_, limit, kept);
    } else {
      row.collect(limit, INFINITE, kept);
    }
  }

 private:
  // The least float32 that min-p keeps: p >= min_p * p_max is logit >= peak + T log min_p.
  float lowest(float peak) const {
    if (min_p_ < DBL_MIN) return -FLT_MAX;  // a smaller one removes nothing that float64 can tell
    const double limit = peak + temperature_ * logarithm(min_p_);
    if (limit <= -FLT_MAX) return -FLT_MAX;
    const auto rounded = static_cast<float>(limit);
    return rounded < limit ? std::nextafter(rounded, peak) : rounded;
  }

  double temperature_, inverse_temperature_;
  std::int64_t top_k_;
  double top_p_, min_p_;
};

// A row to whose logits noise is added: the value of a token is (logit - peak) / temperature +
// gumbel. Bounds of groups come first, so that logarithms are taken only where a group can win.
class NoisedRow {
 public:
  // `ids` names the tokens of the logits; null where they are 0 to n - 1.
  NoisedRow(const float* logits, const std::int32_t* ids, int n, double peak, double temperature,
            HashKey key)
      : logits_(logits), ids_(ids), n_(n), peak_(peak), temperature_(temperature), key_(key) {
    scratch.maxima.resize(static_cast<std::size_t>(blocks(n)) * LANES);
    kernels().noise_bounds(logits, ids, n, key, static_cast<float>(temperature),
                           scratch.maxima.data());
  }

  std::span<const float> bounds() const { return scratch.maxima; }

  // Calls take(token, value) for the tokens of a group that have a finite logit.
  template <typename Take>
  void visit(int group, const Take& take) const {
    const int start = group / LANES * BLOCK + group % LANES;
    const int count = std::min(BLOCK / LANES, (n_ - start + LANES - 1) / LANES);
    std::int32_t tokens[LANES] = {};
    std::uint32_t hashed[LANES];
    for (int i = 0; i < count; ++i) {
      tokens[i] = ids_ == nullptr ? start + i * LANES : ids_[start + i * LANES];
    }
    kernels().hash_lanes(tokens, key_, hashed);
    for (int i = 0; i < count; ++i) {
      const float logit = logits_[start + i * LANES];
      if (logit == MINUS_INFINITY) continue;
      take(tokens[i], (logit - peak_) / temperature_ + gumbel(hashed[i]));
    }
  }

  // A group whose bound is below this has no token whose value reaches `value`. Bounds are float32
  // and in logits' units. A token that can reach it lies between value - 23 T and peak, which
  // limits its rounding error; the last term covers flushed subnormals.
  double limit_for(double value) const {
    const double logit = peak_ + temperature_ * value;
    return logit - (1e-6 * (std::abs(peak_) + std::abs(logit)) + 2e-5 * temperature_ + 1e-28);
  }

 private:
  const float* logits_;
  const std::int32_t* ids_;
  int n_;
  double peak_, temperature_;
  HashKey key_;
};

// The token of the largest value; ties go to the lower id.
int argmax(const NoisedRow& row) {
  int best = -1;
  double best_value = 0.0;
  const auto take = [&](std::int32_t token, double value) {
    if (best < 0 || value > best_value || (value == best_value && token < best)) {
      best = token;
      best_value = value;
    }
  };
  const std::span<const float> bounds = row.bounds();
  row.visit(static_cast<int>(std::max_element(bounds.begin(), bounds.end()) - bounds.begin()),
            take);
  const double limit = row.limit_for(best_value);
  for (std::size_t group = 0; group < bounds.size(); ++group) {
    if (bounds[group] >= limit) row.visit(static_cast<int>(group), take);
  }
  return best;
}

struct Noised {
  double value;
  std::int32_t id;
};

// The tokens of the k largest values, or all where there are fewer, best first.
std::vector<Noised> largest(const NoisedRow& row, int k) {
  const std::span<const float> bounds = row.bounds();
  std::vector<int> order(bounds.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
  const auto by_value = [](const Noised& a, const Noised& b) {
    return a.value != b.value ? a.value > b.value : a.id < b.id;
  };
  const auto by_bound = [&](int a, int b) { return bounds[a] > bounds[b]; };
  std::vector<Noised> found;
  const auto take = [&](std::int32_t token, double value) { found.push_back({value, token}); };
  // As many groups as tokens are asked for: some k tokens, and what the rest has to beat.
  const std::size_t first = std::min<std::size_t>(k, order.size());
  std::nth_element(order.begin(), order.begin() + (first - 1), order.end(), by_bound);
  for (std::size_t i = 0; i < first; ++i) row.visit(order[i], take);
  const auto cut = [&] {
    if (found.size() <= static_cast<std::size_t>(k)) return;
    std::nth_element(found.begin(), found.begin() + (k - 1), found.end(), by_value);
    found.resize(k);
  };
  cut();
  double limit = -static_cast<double>(INFINITE);
  if (found.size() == static_cast<std::size_t>(k)) {
    limit = row.limit_for(std::max_element(found.begin(), found.end(), by_value)->value);
  }
  for (std::size_t i = first; i < order.size(); ++i) {
    if (bounds[order[i]] >= limit) row.visit(order[i], take);
  }
  cut();
  std::sort(found.begin(), found.end(), by_value);
  return found;
}

// What a choice is made from: the row after its filters, with the noise of a position.
NoisedRow noised(const Row& row, const SamplingSettings& settings, HashKey key) {
  const Filter filter(settings, row.size());
  if (filter.keeps_all()) {
    return {row.data(), nullptr, row.size(), row.peak(), settings.temperature, key};
  }
  filter.collect(row, scratch.candidates);
  scratch.logits.clear();
  scratch.ids.clear();
  for (const Candidate& c : scratch.candidates) {
    scratch.logits.push_back(c.logit);
    scratch.ids.push_back(c.id);
  }
  return {scratch.logits.data(),
          scratch.ids.data(),
          static_cast<int>(scratch.ids.size()),
          row.peak(),
          settings.temperature,
          key};
}

void check_size(int n) {
  if (n < 1) throw UsageError("A vocabulary needs at least one token.");
}

}  // namespace

// ---------------------------------------------------------------- History

void History::add_prompt(std::int32_t token) {
  if (states_[token] == 0) seen_.push_back(token);
  states_[token] |= 1;
}

void History::push(std::int32_t token) {
  if (states_[token] == 0) seen_.push_back(token);
  states_[token] += 2;
}

void History::pop(std::int32_t token) {
  states_[token] -= 2;
  if (states_[token] == 0) seen_.pop_back();
}

// ---------------------------------------------------------------- Sampler

Sampler::Sampler(SamplingSettings settings, int vocab_size, NoiseKey key,
                 const std::int32_t* prompt, std::size_t prompt_length)
    : vocab_size_(vocab_size), key_(key) {
  check_size(vocab_size);
  for (const auto& [token, bias] : settings.logit_bias) {
    if (token < 0 || token >= vocab_size) {
      throw UsageError("logit_bias names token " + std::to_string(token) +
                       ", but the vocabulary has " + std::to_string(vocab_size) + " tokens.");
    }
    if (std::abs(bias) > FLT_MAX) {
      throw UsageError("logit_bias of token " + std::to_string(token) +
                       " has to lie within the range of a 32-bit number.");
    }
  }
  check(prompt, prompt_length);
  if (settings.repetition_penalty != 1.0 || settings.presence_penalty != 0.0 ||
      settings.frequency_penalty != 0.0) {
    history_ = std::make_unique<History>(vocab_size);
    for (std::size_t i = 0; i < prompt_length; ++i) history_->add_prompt(prompt[i]);
  }
  settings_ = std::make_shared<const SamplingSettings>(std::move(settings));
}

Sampler::Sampler(const Sampler& other, std::uint64_t index, std::uint32_t stream)
    : settings_(other.settings_),
      vocab_size_(other.vocab_size_),
      key_{other.key_.seed, index, stream},
      history_(other.history_ ? std::make_unique<History>(*other.history_) : nullptr) {}

void Sampler::check(const std::int32_t* tokens, std::size_t count) const {
  for (std::size_t i = 0; i < count; ++i) {
    if (tokens[i] < 0 || tokens[i] >= vocab_size_) {
      throw UsageError("Token " + std::to_string(tokens[i]) + " is outside the vocabulary of " +
                       std::to_string(vocab_size_) + " tokens.");
    }
  }
}

void Sampler::advance(const std::int32_t* tokens, std::size_t count) {
  check(tokens, count);
  if (!history_) return;
  for (std::size_t i = 0; i < count; ++i) history_->push(tokens[i]);
}

// vLLM's definitions, in this order, in float64 and rounded once.
void Sampler::penalise(float* row) const {
  const SamplingSettings& s = *settings_;
  for (const std::int32_t token : history_->seen()) {
    double x = row[token];
    x = x > 0.0 ? x / s.repetition_penalty : x * s.repetition_penalty;
    const int count = history_->output_count(token);
    if (count > 0) {
      x -= s.frequency_penalty * count;
      x -= s.presence_penalty;
    }
    row[token] = static_cast<float>(x);
  }
}

// The row after mask, bias and penalties: the row itself where none of them is on.
Logits Sampler::patched(Logits logits, const std::int32_t* path, std::size_t path_length,
                        const std::uint32_t* mask) {
  check(path, path_length);
  if (mask == nullptr && settings_->logit_bias.empty() && !history_) return logits;
  scratch.patched.resize(vocab_size_);
  float* row = scratch.patched.data();
  if (mask != nullptr) {
    kernels().add_mask(logits.values, vocab_size_, mask, row);
  } else {
    std::copy(logits.values, logits.values + vocab_size_, row);
  }
  for (const auto& [token, bias] : settings_->logit_bias) {
    row[token] = static_cast<float>(row[token] + bias);
  }
  if (history_) {
    for (std::size_t i = 0; i < path_length; ++i) history_->push(path[i]);
    penalise(row);
    for (std::size_t i = path_length; i > 0; --i) history_->pop(path[i - 1]);
  }
  return row;
}

int Sampler::choose(Logits logits, std::int64_t position, const std::int32_t* path,
                    std::size_t path_length, const std::uint32_t* mask) {
  const Row row(patched(logits, path, path_length, mask), vocab_size_);
  if (settings_->temperature == 0.0) return row.argmax();
  return argmax(noised(row, *settings_, HashKey(key_, position)));
}

void Sampler::candidates(Logits logits, std::int64_t position, const std::int32_t* path,
                         std::size_t path_length, int k, std::vector<std::int32_t>& ids,
                         std::vector<double>& values) {
  if (k < 1 || k > vocab_size_) {
    throw UsageError(std::to_string(k) + " candidates were asked for, of a vocabulary of " +
                     std::to_string(vocab_size_) + " tokens.");
  }
  ids.clear();
  values.clear();
  const Row row(patched(logits, path, path_length, nullptr), vocab_size_);
  if (settings_->temperature == 0.0) {
    auto& best = scratch.candidates;
    best.clear();
    row.collect_top(k, -FLT_MAX, best);
    std::sort(best.begin(), best.end(), before);
    for (const Candidate& c : best) {
      ids.push_back(c.id);
      values.push_back(static_cast<double>(c.logit) - row.peak());
    }
    return;
  }
  for (const Noised& n : largest(noised(row, *settings_, HashKey(key_, position)), k)) {
    ids.push_back(n.id);
    values.push_back(n.value);
  }
}

void Sampler::processed(Logits logits, const std::int32_t* path, std::size_t path_length,
                        const std::uint32_t* mask, double* out) {
  const Row row(patched(logits, path, path_length, mask), vocab_size_);
  std::fill(out, out + vocab_size_, static_cast<double>(MINUS_INFINITY));
  if (settings_->temperature == 0.0) {
    out[row.argmax()] = 0.0;
    return;
  }
  const auto value = [&](float logit) {
    return (logit - static_cast<double>(row.peak())) / settings_->temperature;
  };
  const Filter filter(*settings_, vocab_size_);
  if (filter.keeps_all()) {
    for (int token = 0; token < vocab_size_; ++token) out[token] = value(row[token]);
    return;
  }
  filter.collect(row, scratch.candidates);
  for (const Candidate& c : scratch.candidates) out[c.id] = value(c.logit);
}

void Sampler::probabilities(Logits logits, const std::int32_t* path, std::size_t path_length,
                            const std::uint32_t* mask, double* out) {
  const Row row(patched(logits, path, path_length, mask), vocab_size_);
  const auto fill = [&] { std::fill(out, out + vocab_size_, 0.0); };
  if (settings_->temperature == 0.0) {
    fill();
    out[row.argmax()] = 1.0;
    return;
  }
  const Filter filter(*settings_, vocab_size_);
  if (filter.keeps_all()) {
    const double total = kernels().weigh(row.data(), vocab_size_, row.peak(),
                                         filter.inverse_temperature(), -FLT_MAX, out);
    for (int token = 0; token < vocab_size_; ++token) out[token] /= total;
    return;
  }
  fill();
  filter.collect(row, scratch.candidates);
  const double total = weigh(scratch.candidates, row.peak(), filter.inverse_temperature());
  for (const Candidate& c : scratch.candidates) out[c.id] = c.weight / total;
}

void Sampler::noise(std::int64_t position, const std::int32_t* tokens, std::size_t count,
                    double* out) const {
  check(tokens, count);
  gumbel_noise(key_, position, tokens, count, out);
}

void gumbel_noise(const NoiseKey& noise_key, std::int64_t position, const std::int32_t* tokens,
                  std::size_t count, double* out) {
  const HashKey key(noise_key, position);
  for (std::size_t start = 0; start < count; start += LANES) {
    const std::size_t lanes = std::min<std::size_t>(LANES, count - start);
    std::int32_t padded[LANES] = {};
    std::uint32_t hashed[LANES];
    std::copy(tokens + start, tokens + start + lanes, padded);
    kernels().hash_lanes(padded, key, hashed);
    for (std::size_t i = 0; i < lanes; ++i) out[start + i] = gumbel(hashed[i]);
  }
}

int draw(const double* weights, int n, const NoiseKey& key, std::int64_t position) {
  const HashKey hash_key(key, position);
  int first = -1;
  double least = INFINITE;
  for (int start = 0; start < n; start += LANES) {
    const int count = std::min(LANES, n - start);
    // Filters leave few tokens, and hashing the others would take most of the time.
    const auto positive = [](double weight) { return weight > 0.0; };
    if (std::none_of(weights + start, weights + start + count, positive)) continue;
    std::int32_t tokens[LANES];
    std::uint32_t hashed[LANES];
    for (int i = 0; i < LANES; ++i) tokens[i] = start + i;
    kernels().hash_lanes(tokens, hash_key, hashed);
    for (int i = 0; i < count; ++i) {
      const double weight = weights[start + i];
      const double v = uniform(hashed[i]);
      // E >= v, up to rounding, so few logarithms have to be taken.
      if (!positive(weight) || v * (1.0 - 1e-12) >= least * weight) continue;
      const double time = exponential(v) / weight;
      if (first < 0 || time < least) {
        first = start + i;
        least = time;
      }
    }
  }
  if (first < 0) throw SamplingError("No token is left to choose from: all weights are zero.");
  return first;
}

// ---------------------------------------------------------------- log-probabilities

namespace {

double log_total(const Row& row) {
  return logarithm(kernels().weigh(row.data(), row.size(), row.peak(), 1.0, -FLT_MAX, nullptr));
}

}  // namespace

double logprob(Logits logits, int n, int token) {
  check_size(n);
  if (token < 0 || token >= n) {
    throw UsageError("Token " + std::to_string(token) + " is outside the vocabulary of " +
                     std::to_string(n) + " tokens.");
  }
  const Row row(logits, n);
  return (static_cast<double>(row[token]) - row.peak()) - log_total(row);
}

namespace {

void check_top(int n, int k) {
  check_size(n);
  if (k < 0 || k > n) {
    throw UsageError("The " + std::to_string(k) + " likeliest tokens were asked for, of " +
                     std::to_string(n) + ".");
  }
}

// The k likeliest tokens, best first; valid until the next call.
const std::vector<Candidate>& likeliest(const Row& row, int k) {
  auto& found = scratch.candidates;
  found.clear();
  row.collect_top(k, MINUS_INFINITY, found);
  std::sort(found.begin(), found.end(), before);
  return found;
}

}  // namespace

void top(Logits logits, int n, int k, std::int32_t* ids, double* logprobs) {
  check_top(n, k);
  if (k == 0) return;
  const Row row(logits, n);
  const double total = log_total(row);
  const auto& found = likeliest(row, k);
  for (int i = 0; i < k; ++i) {
    ids[i] = found[i].id;
    logprobs[i] = (static_cast<double>(found[i].logit) - row.peak()) - total;
  }
}

void best(Logits logits, int n, int k, std::int32_t* ids, float* values) {
  check_top(n, k);
  if (k == 0) return;
  try {
    const auto& found = likeliest(Row(logits, n), k);
    for (int i = 0; i < k; ++i) {
      ids[i] = found[i].id;
      values[i] = found[i].logit;
    }
  } catch (const SamplingError&) {
    std::fill_n(ids, k, -1);
    std::fill_n(values, k, MINUS_INFINITY);
  }
}

// ---------------------------------------------------------------- instruction sets

std::vector<std::string> sampling_kernels() {
  std::vector<std::string> names;
  for (const Kernels* set : available_kernels()) names.emplace_back(set->name);
  return names;
}

void use_sampling_kernels(const std::string& name) {
  for (const Kernels* set : available_kernels()) {
    if (set->name == name) {
      chosen_kernels = set;
      return;
    }
  }
  throw UsageError("This machine has no sampling kernels named '" + name + "'.");
}

}  // namespace outrider
