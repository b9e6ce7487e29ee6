// Whether a drafter that takes time is asked at all; see outrider.control.cost.
#pragma once

#include <cstdint>
#include <deque>
#include <limits>

namespace outrider {

// When to call a drafter, from what calling it has saved; a call is drafting and learning.
//
// A draft that is not verified costs no row, but drafting it may have cost a pass of a draft model.
// Such a drafter is asked while that saves time; then ever more rarely, to see whether the text has
// become easier. The account is a cumulative sum (Page 1954) of the milliseconds saved, held
// between two limits.
class Calls {
 public:
  // Nodes at most, while it is not known whether the drafter pays.
  static constexpr int kProbeNodes = 4;

  // Steps after which a drafter that does not pay is asked again for the first time, at least.
  static constexpr std::int64_t kFirstWait = 8;

  // What a call takes, and a further node where a call is not cheap.
  double ms() const { return ms_; }
  double node_ms() const { return cheap_ ? 0.0 : node_ms_; }

  // Whether the drafter is asked only to see whether it pays again.
  bool paused() const { return paused_; }

  // Whether a call takes a small part of a pass.
  bool cheap() const { return cheap_; }

  // What a call may ask for: few nodes while it is not known whether it pays. Whenever it was found
  // not to pay, half as many as then; one more for each call in full credit. So a drafter whose
  // short drafts pay and whose long ones do not is kept to the short.
  double most_nodes() const;

  // Whether to call the drafter at this step; to be asked once a step. `new_text`: an answer has
  // begun, so what was found of others may not hold.
  bool due(bool new_text);

  // What came of a call that took `call_ms`: its largest tree had `nodes` nodes, the step saved
  // `saved_ms` against plain decoding, the call's own time aside, and a pass without drafts takes
  // `plain_ms`.
  void record(double call_ms, std::int64_t nodes, double saved_ms, double plain_ms);

 private:
  void look_again(double saved_ms, double regained);

  bool paused_ = false;
  bool cheap_ = false;
  std::deque<double> times_;
  std::deque<double> times_per_node_;
  std::deque<double> rows_lost_;  // what drafted rows took beyond what they saved
  double ms_ = 0.0;
  double node_ms_ = 0.0;
  double account_ = 0.0;
  std::int64_t calls_ = 0;
  std::int64_t wait_ = kFirstWait;
  std::int64_t longest_wait_ = kFirstWait;
  std::int64_t left_ = 0;
  std::int64_t since_new_ = 0;
  double limit_ = std::numeric_limits<double>::infinity();
};

}  // namespace outrider
