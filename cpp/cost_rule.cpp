#include "cost_rule.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "error.hpp"

namespace outrider {
namespace {

// Calls after which the rate of tokens with drafts is forgotten by 1 / e; and steps after which
// what a step takes beside pass and drafting is.
constexpr double kRateMemory = 16.0;
constexpr double kRestMemory = 16.0;

// Nodes that a drafter is asked for in any case.
constexpr double kFewNodes = 4.0;

// What is kept, a step, of the largest draft found worth verifying: no drafter is asked for more
// than twice as much, because nodes that are not verified take time too.
constexpr double kForget = 0.95;

// Where drafting is cheap, one step in so many is learned from, and times are looked up anew: a
// step is short, and what is done beside its pass is not to be noticed. With several sequences it
// is one in as many fewer, for their steps are longer, and what drafts cost them decides more
// narrowly.
constexpr std::int64_t kLookEvery = 8;

}  // namespace

CostRule::CostRule(const PassTimes& passes, std::int64_t max_nodes, double gain)
    : passes_(passes), max_nodes_(max_nodes), gain_(gain), worth_(static_cast<double>(max_nodes)) {}

// 1, 2, 3 to 4, 5 to 8, … sequences.
std::size_t CostRule::account_for(std::size_t sequences) {
  const std::size_t before = std::max<std::size_t>(sequences, 1) - 1;
  return std::min<std::size_t>(std::bit_width(before), kAccounts - 1);
}

// Whether to look times up anew at a step of so many sequences, or to learn from it.
bool CostRule::due(std::size_t sequences) const {
  const Calls& calls = account().calls;
  if (calls.paused()) return called_ || steps_ % kLookEvery == 0;
  const auto each = static_cast<std::int64_t>(std::max<std::size_t>(sequences, 1));
  return !calls.cheap() || steps_ % std::max<std::int64_t>(kLookEvery / each, 1) == 0;
}

bool CostRule::passed(std::size_t sequences) {
  ++steps_;
  return due(sequences);
}

DraftLimits CostRule::limit(const std::vector<std::int64_t>& ids,
                            const std::vector<std::int64_t>& contexts, const SequenceRows& rows,
                            std::size_t decoding, std::int64_t budget) {
  if (contexts.size() != ids.size()) {
    throw UsageError("The sequences differ in number from their contexts.");
  }
  const bool new_text = std::any_of(ids.begin(), ids.end(), [&](std::int64_t id) {
    return std::find(ids_.begin(), ids_.end(), id) == ids_.end();
  });
  at_ = account_for(ids.size());
  Calls& calls = account().calls;
  called_ = max_nodes_ > 0 && calls.due(new_text);
  ids_ = ids;
  contexts_ = contexts;
  DraftLimits limits{0, std::vector<double>(ids.size(), 0.0)};
  if (!called_) return limits;
  const double usual = std::max(kFewNodes, std::ceil(2.0 * worth_));
  const double most = std::min(static_cast<double>(max_nodes_), calls.most_nodes());
  limits.nodes = static_cast<std::int64_t>(std::min(most, usual));
  const auto sequences = static_cast<std::int64_t>(ids.size());
  const std::int64_t further = std::min(max_nodes_ * sequences, budget);
  if (limits.nodes <= 0 || further <= 0) return limits;

  // If the best choice ends with a node of probability p, it is no worse than the same without that
  // node, and no worse than none at all. So p is at least the rate of a pass without drafts times
  // what the last row adds to the pass: at least the least that any row adds. Where some row is
  // free that is 0, and rightly so. Where drafting takes time, each node is due its share of it, at
  // the rate that is reached with drafts.
  look_up(rows, decoding, static_cast<std::size_t>(further));
  double rate = static_cast<double>(decoding) / times_[0];
  double row_ms = row_ms_;
  if (calls.node_ms() > 0.0) {
    rate = std::max(rate, account().rate);
    row_ms += calls.node_ms() / static_cast<double>(sequences);
  }
  for (std::size_t i = 0; i < contexts.size(); ++i) {
    limits.probability[i] = rate * (row_ms + passes_.row_ms(contexts[i]));
  }
  return limits;
}

void CostRule::look_up(const SequenceRows& rows, std::size_t decoding, std::size_t further) {
  const Key key{rows.size(), decoding, further};
  const bool others = rows.size() > decoding;
  if (!due(decoding) && key == looked_up_ && !others) return;
  looked_up_ = key;
  times_ = passes_.ms(rows, further);
  row_ms_ = times_[1] - times_[0];
  for (std::size_t m = 1; m < further; ++m) row_ms_ = std::min(row_ms_, times_[m + 1] - times_[m]);
  row_ms_ = std::max(row_ms_, 0.0);
  // What a prompt's rows take passes whatever is drafted.
  const auto first_others =
      rows.begin() + static_cast<std::ptrdiff_t>(std::min(decoding, rows.size()));
  const double prompts_ms = others ? times_[0] - passes_.ms({rows.begin(), first_others}) : 0.0;
  for (double& ms : times_) ms += account().calls.ms() + rest_ms_ - prompts_ms;
}

std::vector<std::vector<std::int32_t>> CostRule::choose(std::vector<Candidates> drafts,
                                                        std::size_t decoding, std::int64_t budget) {
  if (drafts.size() != contexts_.size()) {
    throw UsageError("The drafts differ in number from the sequences that were to be drafted for.");
  }
  nodes_ = 0;
  std::int64_t most = 0;
  for (std::size_t i = 0; i < drafts.size(); ++i) {
    const auto size = static_cast<std::int64_t>(drafts[i].parents.size());
    nodes_ = std::max(nodes_, size);
    most += std::clamp<std::int64_t>(drafts[i].most, 0, size);
    drafts[i].row_ms = passes_.row_ms(contexts_[i]);
  }
  if (nodes_ == 0) return std::vector<std::vector<std::int32_t>>(drafts.size());
  const auto further = static_cast<std::size_t>(std::min(most, std::max<std::int64_t>(budget, 0)));
  const std::size_t count = std::min(further + 1, times_.size());
  auto chosen = best_prefix(drafts, times_.data(), count, static_cast<double>(decoding), gain_);
  worth_ *= kForget;
  for (const auto& nodes : chosen) worth_ = std::max(worth_, static_cast<double>(nodes.size()));
  return chosen;
}

void CostRule::observe(const SequenceRows& rows, std::int64_t accepted, const StepTimes& ms) {
  if (ms.rest) {
    ++rests_;
    const double rest_ms = ms.sampling + *ms.rest;
    rest_ms_ += (rest_ms - rest_ms_) / std::min(static_cast<double>(rests_), kRestMemory);
  }
  passes_.observe(rows, ms.pass);
  if (!called_) return;
  SequenceRows plain = rows;
  for (auto& [context, count] : plain) count = 1;
  const double plain_ms = passes_.ms(plain), pass_ms = passes_.ms(rows);
  const auto sequences = static_cast<double>(rows.size());
  const double tokens = sequences + static_cast<double>(accepted);
  const double rate = tokens / (pass_ms + ms.draft);
  double& usual = account().rate;
  usual += usual > 0.0 ? (rate - usual) / kRateMemory : rate;
  account().calls.record(ms.draft, nodes_, tokens * plain_ms / sequences - pass_ms, plain_ms);
}

}  // namespace outrider
