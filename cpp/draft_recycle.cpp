#include "draft_recycle.hpp"

#include <algorithm>
#include <cmath>

#include "draft_table.hpp"

namespace outrider {
namespace {

// The least share of a bin: of the exponentials of the kept logits.
constexpr std::array<float, RecycleTable::kShares> kFrom = {0.0f, 0.02f, 0.05f, 0.1f,
                                                            0.2f, 0.4f,  0.7f,  0.9f};

uint8_t share_bin(float share) {
  int bin = 0;
  while (bin + 1 < RecycleTable::kShares && share >= kFrom[bin + 1]) ++bin;
  return static_cast<uint8_t>(bin);
}

}  // namespace

RecycleTable::RecycleTable(int vocab_size, int k) : vocab_size_(vocab_size), k_(k) { clear(); }

void RecycleTable::clear() {
  for (int order = 0; order < kOrders; ++order) {
    const size_t slots = order == 0 ? static_cast<size_t>(vocab_size_) : kSlots;
    tables_[order].checks.assign(slots, 0);
    tables_[order].tokens.assign(slots * k_, 0);
    tables_[order].shares.assign(slots * k_, 0);
  }
}

void RecycleTable::add(TokenSpan text, const int32_t* tokens, const float* logits) {
  std::array<float, 64> weights;
  float total = 0.0f;
  for (int i = 0; i < k_; ++i) total += weights[i] = std::exp(logits[i] - logits[0]);
  uint64_t hash = 0;
  const int orders = std::min<int>(kOrders, static_cast<int>(text.size()));
  for (int order = 0; order < orders; ++order) {
    const int32_t token = text[text.size() - 1 - order];
    hash = chain_hash(hash, static_cast<uint32_t>(token));
    Table& table = tables_[order];
    const size_t slot = order == 0 ? static_cast<size_t>(token) : hash & (kSlots - 1);
    table.checks[slot] = static_cast<uint32_t>(hash >> 32) | 1;
    for (int i = 0; i < k_; ++i) {
      table.tokens[slot * k_ + i] = tokens[i];
      table.shares[slot * k_ + i] = share_bin(weights[i] / total);
    }
  }
}

void RecycleTable::guess(TokenSpan text, std::vector<Guess>& guesses) const {
  uint64_t hash = 0;
  int longest = -1;
  size_t found = 0;
  const int orders = std::min<int>(kOrders, static_cast<int>(text.size()));
  for (int order = 0; order < orders; ++order) {
    const int32_t token = text[text.size() - 1 - order];
    hash = chain_hash(hash, static_cast<uint32_t>(token));
    const size_t slot = order == 0 ? static_cast<size_t>(token) : hash & (kSlots - 1);
    if (tables_[order].checks[slot] != (static_cast<uint32_t>(hash >> 32) | 1)) continue;
    longest = order;
    found = slot;
  }
  if (longest < 0) return;
  const Table& table = tables_[longest];
  for (int i = 0; i < k_; ++i) {
    guesses.push_back(
        {table.tokens[found * k_ + i], longest * kShares + table.shares[found * k_ + i]});
  }
}

double RecycleTable::prior(int bin) {
  constexpr std::array<double, kShares> by_share = {0.005, 0.02, 0.04, 0.08, 0.15, 0.3, 0.45, 0.6};
  constexpr std::array<double, kOrders> by_order = {0.7, 1.0, 1.2};
  return by_share[bin % kShares] * by_order[bin / kShares];
}

}  // namespace outrider
