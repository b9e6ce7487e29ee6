// From evidence to probability, by counting how often such evidence was right.
#pragma once

#include <array>
#include <vector>

#include "draft_source.hpp"
#include "draft_table.hpp"

namespace outrider {

enum class Source { Ngram, Suffix, Recycle };
constexpr int kSources = 3;

// What each source says of one token: Silent where it guesses nothing here, Other where it guesses
// other tokens, else kGuessed + the bin of its guess.
using Evidence = std::array<uint8_t, kSources>;
constexpr uint8_t kSilent = 0, kOther = 1, kGuessed = 2;

struct Hits {
  float tried = 0.0f, right = 0.0f;

  // `memory`: observations after which the sums begin to forget.
  void add(bool was_right, float memory);
  // The share that was right, shrunk towards `before`, which counts as `weight` observations.
  double shrunk(double before, double weight) const {
    return (weight * before + right) / (weight + tried);
  }
};

// Of one request: how often its guesses were right and how often they were expected to be, by which
// sources agree.
class RequestCalibration {
 public:
  static constexpr int kGroups = 1 << kSources;

  double ratio(int group) const;
  void add(int group, double expected, bool right);

 private:
  std::array<float, kGroups> expected_{}, right_{};
};

// Counts of all requests. A guess of one source has a bin of its own, shrunk towards what is
// assumed of it; what several sources say of a token together has one too, shrunk towards the best
// of its parts. Temperatures are kept apart: a likely token is chosen less often where it is high.
class Calibration {
 public:
  static constexpr int kTemperatures = 4;
  static int temperature_bin(double temperature);

  // The probability that the target chooses a token of which this is said, given all that came
  // before; `origin` becomes the source that it rests on most.
  double probability(const Evidence& evidence, int temperature, Source& origin) const;
  void add(const Evidence& evidence, int temperature, bool right);
  void clear();

  // Which sources guess the token, as bits.
  static int group(const Evidence& evidence);

 private:
  static uint64_t key(const Evidence& evidence, int temperature);

  static constexpr int kMaxBins = 128;

  const Hits& alone(int source, int guessed, int temperature) const {
    return alone_[(source * kMaxBins + guessed) * kTemperatures + temperature];
  }

  std::array<Hits, kSources * kMaxBins * kTemperatures> alone_{};
  HashTable<Hits> together_;
};

}  // namespace outrider
