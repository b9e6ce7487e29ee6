#include "pass_times.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "error.hpp"

namespace outrider {
namespace {

// The most that one pass may say, as a logarithm: a machine that hesitates for ten passes' time
// says no more than one that is a fifth slower.
constexpr double kClip = 0.2;

// Passes in a row that would say more, all in the same direction, after which they are believed:
// memory is at times several times as fast as at others.
constexpr std::size_t kPersistent = 4;

// Passes that the measured curve is worth, against what all passes say; and passes after which
// what all say is forgotten by 1 / e.
constexpr double kCommonWeight = 4.0;
constexpr double kCommonMemory = 16.0;

// Passes of one size that the measured curve's proportions are worth; and passes of one size after
// which what they say is forgotten by 1 / e.
constexpr double kSizeWeight = 16.0;
constexpr double kSizeMemory = 64.0;

// Passes after which sizes that were not seen follow those that were.
constexpr std::int64_t kRefit = 16;

// What the measured slope is worth when a line is laid through the passes that were seen: as much
// as passes whose costs have this sum of squared deviations, in plain passes.
constexpr double kSlopeWeight = 0.05;

// Nothing takes less than this part of what the seen passes take, nor 0 ms where it is divided by.
constexpr double kLeast = 0.05;
constexpr double kTiny = 1e-9;

std::size_t total(const SequenceRows& rows) {
  std::int64_t sum = 0;
  for (const auto& [context, count] : rows) {
    if (count < 0) throw UsageError("A sequence has a negative number of rows.");
    sum += count;
  }
  return static_cast<std::size_t>(sum);
}

// Draw lines between the values at the sizes that were seen; beyond them, their first and last.
template <class BySize>
void interpolate(BySize& values, const BySize& seen) {
  std::size_t left = 0;
  while (seen[left] == 0.0) ++left;
  std::fill(values.begin(), values.begin() + left, values[left]);
  for (std::size_t right = left + 1; right < values.size(); ++right) {
    if (seen[right] == 0.0) continue;
    const double slope = (values[right] - values[left]) / static_cast<double>(right - left);
    for (std::size_t m = left + 1; m < right; ++m) values[m] = values[m - 1] + slope;
    left = right;
  }
  std::fill(values.begin() + left, values.end(), values[left]);
}

}  // namespace

PassTimes::PassTimes(const std::vector<double>& measured, const Attention& attention)
    : attention_(attention) {
  if (measured.size() != measured_.size()) {
    throw UsageError("A measured curve has to have " + std::to_string(measured_.size()) +
                     " times, not " + std::to_string(measured.size()) + ".");
  }
  std::copy(measured.begin(), measured.end(), measured_.begin());
  times_ = measured_;
}

// Of so many rows, before the common factor.
double PassTimes::of_rows(std::size_t rows) const {
  if (rows <= kLargest) return times_[rows];
  const double slope = measured_[kLargest] - measured_[kLargest - 1];
  const double measured = measured_[kLargest] + slope * static_cast<double>(rows - kLargest);
  return measured * std::exp(factor_[kLargest]);
}

double PassTimes::of_attention(const SequenceRows& rows) const {
  double ms = 0.0;
  for (const auto& [context, count] : rows) {
    const auto length = static_cast<double>(context);
    if (count > 0) ms += length * attention_.first_ms;
    if (count > 1) ms += length * static_cast<double>(count - 1) * attention_.further_ms;
  }
  return ms + attention_.sequence_ms * (static_cast<double>(rows.size()) - 1.0);
}

std::vector<double> PassTimes::ms(const SequenceRows& rows, std::size_t further) const {
  const std::size_t first = total(rows);
  const double attention = of_attention(rows), scale = std::exp(common_);
  std::vector<double> times(further + 1);
  for (std::size_t m = 0; m <= further; ++m) times[m] = (of_rows(first + m) + attention) * scale;
  return times;
}

double PassTimes::ms(const SequenceRows& rows) const {
  return (of_rows(total(rows)) + of_attention(rows)) * std::exp(common_);
}

double PassTimes::row_ms(std::int64_t context) const {
  return attention_.further_ms * static_cast<double>(context) * std::exp(common_);
}

void PassTimes::observe(const SequenceRows& rows, double pass_ms) {
  const std::size_t size = total(rows);
  if (size == 0 || size > kLargest || !(pass_ms > 0.0)) return;
  double error = std::log(pass_ms / ms(rows));
  if (persists(error)) {
    common_ += *std::min_element(beyond_.begin(), beyond_.end(),
                                 [](double a, double b) { return std::abs(a) < std::abs(b); });
    beyond_.clear();
    return;
  }
  error = std::clamp(error, -kClip, kClip);
  common_ += error / std::min(static_cast<double>(passes_) + kCommonWeight, kCommonMemory);
  const double own = factor_[size] + error - average_[size];
  average_[size] += own / std::min(seen_[size] + 1.0, kSizeMemory);
  factor_[size] += error / std::min(seen_[size] + kSizeWeight, kSizeMemory);
  times_[size] = measured_[size] * std::exp(factor_[size]);
  ++passes_;
  ++seen_[size];
  ++recent_[size];
  if (passes_ % kRefit == 0) refit();
}

// Whether errors beyond what one pass may say are no exception.
bool PassTimes::persists(double error) {
  if (std::abs(error) < kClip) {
    beyond_.clear();
    return false;
  }
  if (!beyond_.empty() && (error > 0.0) != (beyond_.front() > 0.0)) beyond_.clear();
  beyond_.push_back(error);
  return beyond_.size() == kPersistent;
}

// Let the factors by size be 1 on average over recent passes, and give one to every size. The first
// changes no time: what is wrong of all passes is found in the common factor.
void PassTimes::refit() {
  double weight = 0.0, average = 0.0;
  for (std::size_t m = 0; m <= kLargest; ++m) {
    weight += recent_[m];
    average += recent_[m] * factor_[m];
  }
  average /= weight;
  for (double& each : average_) each -= average;
  common_ += average;

  // What a size says by itself, beyond the line, is believed as it is seen more often.
  const BySize line = line_factors();
  BySize own{};
  for (std::size_t m = 0; m <= kLargest; ++m) {
    own[m] = (average_[m] - line[m]) * seen_[m] / (seen_[m] + kSizeWeight);
  }
  interpolate(own, seen_);
  for (std::size_t m = 0; m <= kLargest; ++m) {
    factor_[m] = line[m] + own[m];
    times_[m] = measured_[m] * std::exp(factor_[m]);
    recent_[m] *= 1.0 - static_cast<double>(kRefit) / kSizeMemory;
  }
}

// By what the line through the times of the sizes that were seen differs from the measured curve,
// as logarithms. It is a line over the measured cost, not over rows: the curve keeps its steps, and
// only what it rises by is scaled.
PassTimes::BySize PassTimes::line_factors() const {
  const auto cost = [&](std::size_t m) { return measured_[m] / measured_[1]; };
  double weight = 0.0, middle = 0.0, level = 0.0;
  BySize seen_ms{};
  for (std::size_t m = 0; m <= kLargest; ++m) {
    if (seen_[m] == 0.0) continue;
    seen_ms[m] = measured_[m] * std::exp(average_[m]);
    weight += recent_[m];
    middle += recent_[m] * cost(m);
    level += recent_[m] * seen_ms[m];
  }
  middle /= weight;
  level /= weight;

  // The times are not quite the measured ones: the slope that these would have.
  double rise = kSlopeWeight * level / middle, run = kSlopeWeight;
  for (std::size_t m = 0; m <= kLargest; ++m) {
    const double apart = cost(m) - middle;
    rise += recent_[m] * apart * seen_ms[m];
    run += recent_[m] * apart * apart;
  }
  // Neither rows nor a pass of one come for nothing.
  const double steepest = 0.95 * level / std::max(middle - 1.0, kTiny);
  const double slope = std::min(std::max(rise / run, 0.0), steepest);

  BySize factors{};
  for (std::size_t m = 0; m <= kLargest; ++m) {
    const double line = level + slope * (cost(m) - middle);
    factors[m] = std::log(std::max(line, kLeast * level) / std::max(measured_[m], kTiny));
  }
  return factors;
}

}  // namespace outrider
