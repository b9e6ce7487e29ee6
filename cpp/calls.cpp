#include "calls.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace outrider {
namespace {

// A drafter whose calls take less than this share of a plain pass is asked for as many nodes as are
// worth their rows, for one more takes next to nothing.
constexpr double kCheap = 0.1;

// The share of the time that looking in vain whether the drafter pays again may take in the long
// run, and once more where short answers follow one another.
constexpr double kShare = 0.01;

// The first wait as a part of the longest, for drafters that take long.
constexpr double kFirstShare = 1.0 / 8.0;

// What a call has to save beyond its own time to count as paying, as a part of a plain pass: a step
// with drafts leaves less in the processor's caches for the next, and lets some sequences end
// earlier, so that the rest decode in a smaller batch. No account shows that.
constexpr double kLeastGain = 0.02;

// Calls before it is known whether the drafter pays.
constexpr std::int64_t kTrial = 4;

// Plain passes, or times of a call where that takes longer, that may be lost before the drafter is
// found not to pay. As much of what it saved earlier counts in its favour, and no more: long
// success must not hide that it is over.
constexpr double kCredit = 2.0;

// The part of that which has to be saved by looking again, before it is asked regularly.
constexpr double kRegained = 0.5;

// Steps that are waited for at most, where a pass takes next to nothing.
constexpr double kLongest = 1e9;

// Calls whose times count.
constexpr std::size_t kTimesKept = 16;

void keep(std::deque<double>& times, double time) {
  if (times.size() == kTimesKept) times.pop_front();
  times.push_back(time);
}

// Four of five, ascending: some calls wait for what else the machine does.
std::vector<double> without_largest(const std::deque<double>& times) {
  std::vector<double> sorted(times.begin(), times.end());
  std::sort(sorted.begin(), sorted.end());
  sorted.resize(sorted.size() - sorted.size() / 5);
  return sorted;
}

template <typename Times>
double mean(const Times& times) {
  return std::accumulate(times.begin(), times.end(), 0.0) / static_cast<double>(times.size());
}

// In whole steps.
std::int64_t at_least_first(double wait) {
  const double steps = std::nearbyint(std::fmin(wait, kLongest));
  return std::max(Calls::kFirstWait, static_cast<std::int64_t>(steps));
}

}  // namespace

double Calls::most_nodes() const {
  if (cheap_) return std::numeric_limits<double>::infinity();
  return account_ >= 0.0 && calls_ >= kTrial ? limit_ : kProbeNodes;
}

bool Calls::due(bool new_text) {
  --left_;
  ++since_new_;
  if (!paused_ || left_ < 0) return true;
  if (new_text && since_new_ > longest_wait_) {
    since_new_ = 0;
    return true;
  }
  return false;
}

void Calls::record(double call_ms, std::int64_t nodes, double saved_ms, double plain_ms) {
  ++calls_;
  // A call that proposes nothing, for want of what is worth its price, may have taken nothing: it
  // says little of the others.
  if (nodes > 0 || times_.empty()) keep(times_, call_ms);
  const std::vector<double> usual = without_largest(times_);
  ms_ = mean(usual);
  cheap_ = ms_ < kCheap * plain_ms;
  const auto asked = static_cast<double>(nodes);
  if (nodes > 0) {
    // The least of the averages: in a short draft each node bears much of what a call takes in any
    // case.
    keep(times_per_node_, call_ms / asked);
    node_ms_ = *std::min_element(times_per_node_.begin(), times_per_node_.end());
  }
  // A call that waited for what else the machine does is not the drafter's fault.
  const double charged = std::min(call_ms, std::max(usual.back(), asked * node_ms_));
  keep(rows_lost_, std::max(-saved_ms, 0.0));
  saved_ms -= charged + kLeastGain * plain_ms;
  const double credit = kCredit * std::max(plain_ms, ms_);
  account_ = std::clamp(account_ + saved_ms, -credit, credit);
  // Rows of a drafter that is cheap to ask cost little in vain: what they are worth is counted.
  const double in_vain = ms_ + (cheap_ ? 0.0 : mean(rows_lost_));
  longest_wait_ = at_least_first(in_vain / (kShare * plain_ms));
  const std::int64_t first_wait = at_least_first(kFirstShare * static_cast<double>(longest_wait_));
  if (account_ == credit) {
    paused_ = false;
    wait_ = first_wait;
    limit_ += 1.0;
  } else if (paused_) {
    look_again(saved_ms, (kRegained - 1.0) * credit);
  } else if (account_ == -credit) {
    paused_ = true;
    wait_ = left_ = std::max(wait_, first_wait);
    limit_ = static_cast<double>(std::max<std::int64_t>(kProbeNodes, nodes / 2));
  }
}

// After a call that saved time at once, otherwise after twice the steps of the last time. A single
// one may be luck.
void Calls::look_again(double saved_ms, double regained) {
  if (account_ >= regained) {
    paused_ = false;
    wait_ /= 2;
  } else if (saved_ms > 0.0) {
    left_ = 0;
  } else {
    wait_ = std::min(2 * wait_, longest_wait_);
    left_ = wait_;
  }
}

}  // namespace outrider
