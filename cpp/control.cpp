#include "control.hpp"

#include <algorithm>

#include "error.hpp"

namespace outrider {
namespace {

struct Node {
  double reached;
  std::int32_t node;
  std::int32_t draft;
};

// Likeliest first. A node is never likelier than its parent and stands behind it, so with ties in
// the order of nodes a parent always comes before its children.
bool before(const Node& a, const Node& b) {
  if (a.reached != b.reached) return a.reached > b.reached;
  if (a.node != b.node) return a.node < b.node;
  return a.draft < b.draft;
}

std::vector<Node> ranked(const std::vector<Candidates>& drafts) {
  std::vector<Node> nodes;
  std::vector<double> reached;
  for (std::size_t draft = 0; draft < drafts.size(); ++draft) {
    const auto& [parents, probabilities, most, row_ms] = drafts[draft];
    if (parents.size() != probabilities.size()) {
      throw UsageError("A draft has " + std::to_string(parents.size()) + " parents and " +
                       std::to_string(probabilities.size()) + " probabilities.");
    }
    reached.assign(parents.size(), 0.0);
    for (std::size_t node = 0; node < parents.size(); ++node) {
      const auto parent = parents[node];
      if (parent < -1 || parent >= static_cast<std::int64_t>(node)) {
        throw UsageError("Node " + std::to_string(node) + " of a draft has parent " +
                         std::to_string(parent) + ", which is not before it.");
      }
      if (!(probabilities[node] >= 0.0 && probabilities[node] <= 1.0)) {
        throw UsageError("Node " + std::to_string(node) + " of a draft has no probability.");
      }
      reached[node] = probabilities[node] * (parent < 0 ? 1.0 : reached[parent]);
      nodes.push_back(
          {reached[node], static_cast<std::int32_t>(node), static_cast<std::int32_t>(draft)});
    }
  }
  std::sort(nodes.begin(), nodes.end(), before);
  return nodes;
}

// Without what a draft has beyond the nodes it may have: its likeliest stay, and they are a tree.
std::vector<Node> affordable(const std::vector<Node>& nodes,
                             const std::vector<Candidates>& drafts) {
  std::vector<std::int64_t> left;
  for (const auto& draft : drafts) left.push_back(draft.most);
  std::vector<Node> kept;
  kept.reserve(nodes.size());
  for (const Node& node : nodes) {
    if (left[node.draft]-- > 0) kept.push_back(node);
  }
  return kept;
}

}  // namespace

std::vector<std::vector<std::int32_t>> best_prefix(const std::vector<Candidates>& drafts,
                                                   const double* pass_ms, std::size_t count,
                                                   double tokens, double gain) {
  const std::vector<Node> nodes = affordable(ranked(drafts), drafts);
  std::size_t best = 0;
  double best_rate = count > 0 ? gain * tokens / pass_ms[0] : 0.0;
  double gained = tokens;
  double rows_ms = 0.0;
  // The cost of rows is not convex: a loss may be followed by a greater gain.
  for (std::size_t m = 1; m < count && m <= nodes.size(); ++m) {
    gained += nodes[m - 1].reached;
    rows_ms += drafts[nodes[m - 1].draft].row_ms;
    const double rate = gained / (pass_ms[m] + rows_ms);
    if (rate > best_rate) {
      best_rate = rate;
      best = m;
    }
  }
  std::vector<std::vector<std::int32_t>> chosen(drafts.size());
  for (std::size_t m = 0; m < best; ++m) chosen[nodes[m].draft].push_back(nodes[m].node);
  for (auto& each : chosen) std::sort(each.begin(), each.end());
  return chosen;
}

}  // namespace outrider
