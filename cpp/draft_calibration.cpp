#include "draft_calibration.hpp"

#include <algorithm>

#include "draft_ngram.hpp"
#include "draft_recycle.hpp"
#include "draft_suffix.hpp"

namespace outrider {
namespace {

// Observations that what is assumed of a bin is worth, and what its parts say of a combination.
constexpr double kPriorWeight = 8.0;
constexpr double kPartsWeight = 6.0;
// Right guesses of a request after which it counts as much as all requests together.
constexpr double kRequestWeight = 4.0;
constexpr float kMemory = 2000.0f;
constexpr float kRequestMemory = 64.0f;

double prior(int source, int bin) {
  switch (static_cast<Source>(source)) {
    case Source::Ngram:
      return NgramIndex::prior(bin);
    case Source::Suffix:
      return SuffixIndex::prior(bin);
    default:
      return RecycleTable::prior(bin);
  }
}

}  // namespace

void Hits::add(bool was_right, float memory) {
  if (tried >= memory) {
    tried /= 2;
    right /= 2;
  }
  tried += 1.0f;
  right += was_right ? 1.0f : 0.0f;
}

double RequestCalibration::ratio(int group) const {
  return (kRequestWeight + right_[group]) / (kRequestWeight + expected_[group]);
}

void RequestCalibration::add(int group, double expected, bool right) {
  expected_[group] += static_cast<float>(expected);
  right_[group] += right ? 1.0f : 0.0f;
  if (expected_[group] >= kRequestMemory) {
    expected_[group] /= 2;
    right_[group] /= 2;
  }
}

int Calibration::temperature_bin(double temperature) {
  return temperature <= 0.0 ? 0 : temperature <= 0.5 ? 1 : temperature <= 1.0 ? 2 : 3;
}

int Calibration::group(const Evidence& evidence) {
  int group = 0;
  for (int s = 0; s < kSources; ++s) group |= (evidence[s] >= kGuessed) << s;
  return group;
}

uint64_t Calibration::key(const Evidence& evidence, int temperature) {
  uint64_t packed = static_cast<uint64_t>(temperature);
  for (const uint8_t said : evidence) packed = packed << 8 | said;
  return chain_hash(0, packed);
}

double Calibration::probability(const Evidence& evidence, int temperature, Source& origin) const {
  double best = 0.0;
  for (int s = 0; s < kSources; ++s) {
    if (evidence[s] < kGuessed) continue;
    const int bin = evidence[s] - kGuessed;
    const double p = alone(s, bin, temperature).shrunk(prior(s, bin), kPriorWeight);
    if (p > best) {
      best = p;
      origin = static_cast<Source>(s);
    }
  }
  const Hits* together = together_.find(key(evidence, temperature));
  return together ? together->shrunk(best, kPartsWeight) : best;
}

void Calibration::add(const Evidence& evidence, int temperature, bool right) {
  for (int s = 0; s < kSources; ++s) {
    if (evidence[s] < kGuessed) continue;
    const int bin = evidence[s] - kGuessed;
    alone_[(s * kMaxBins + bin) * kTemperatures + temperature].add(right, kMemory);
  }
  together_[key(evidence, temperature)].add(right, kMemory);
}

void Calibration::clear() {
  alone_ = {};
  together_.clear();
}

}  // namespace outrider
