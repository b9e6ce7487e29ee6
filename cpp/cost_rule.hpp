// The arithmetic of the controller `cost`; see outrider.control.cost for what it does and why.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "calls.hpp"
#include "control.hpp"
#include "pass_times.hpp"

namespace outrider {

// Milliseconds of a step; see outrider.control.base.PassReport.
struct StepTimes {
  double draft;
  double pass;
  double sampling;
  std::optional<double> rest;
};

// What drafts may have: nodes each at most, and for each the least probability of a node.
struct DraftLimits {
  std::int64_t nodes;
  std::vector<double> probability;
};

class CostRule {
 public:
  CostRule(const PassTimes& passes, std::int64_t max_nodes, double gain);

  // Before drafting, once a step. `ids` and `contexts` are those of the sequences to be drafted
  // for, `rows` what the pass holds already: first the sequences that decode, one row each.
  DraftLimits limit(const std::vector<std::int64_t>& ids, const std::vector<std::int64_t>& contexts,
                    const SequenceRows& rows, std::size_t decoding, std::int64_t budget);

  // The nodes to verify of the drafts of the same sequences, ascending; `row_ms` is set here.
  std::vector<std::vector<std::int32_t>> choose(std::vector<Candidates> drafts,
                                                std::size_t decoding, std::int64_t budget);

  // A step over so many sequences has passed; whether it is one to learn from.
  bool passed(std::size_t sequences);

  // Learn from a step in which nobody read a prompt; `rows` include the drafts.
  void observe(const SequenceRows& rows, std::int64_t accepted, const StepTimes& ms);

 private:
  bool due(std::size_t sequences) const;
  void look_up(const SequenceRows& rows, std::size_t decoding, std::size_t further);

  // What calling the drafter brings differs with the number of sequences: where rows are free for
  // two they are not for eight. So each power of two has an account of its own.
  struct Account {
    Calls calls;
    double rate = 0.0;  // tokens a millisecond with drafts
  };
  static constexpr std::size_t kAccounts = 8;
  static std::size_t account_for(std::size_t sequences);
  const Account& account() const { return accounts_[at_]; }
  Account& account() { return accounts_[at_]; }

  PassTimes passes_;
  std::array<Account, kAccounts> accounts_;
  std::size_t at_ = 0;  // the account of the step at hand
  std::int64_t max_nodes_;
  double gain_;
  std::int64_t steps_ = 0;

  // The step at hand.
  std::vector<std::int64_t> ids_;
  std::vector<std::int64_t> contexts_;
  bool called_ = false;
  std::int64_t nodes_ = 0;  // of the largest draft that was proposed

  // What steps with 0, 1, … drafted rows take, what they were looked up for, and the least that a
  // row adds.
  struct Key {
    std::size_t sequences, decoding, further;
    bool operator==(const Key&) const = default;
  };
  Key looked_up_{0, 0, 0};
  std::vector<double> times_;
  double row_ms_ = 0.0;

  double rest_ms_ = 0.0;  // what a step takes beside pass and drafting
  std::int64_t rests_ = 0;
  double worth_;  // the largest draft found worth verifying lately
};

}  // namespace outrider
