// Token recycling: what the target thought likely the last time it stood behind the same tokens.
//
// Every verified row leaves its likeliest continuations, rows of rejected drafts included. Luo et
// al., "Turning Trash into Treasure" (2024), key them by one token; here the last two tokens are
// looked up first, because what follows a pair is far surer.
#pragma once

#include <array>
#include <vector>

#include "draft_source.hpp"

namespace outrider {

class RecycleTable {
 public:
  static constexpr int kShares = 8;  // bins of a continuation's share
  static constexpr int kOrders = 3;  // tokens that an entry stands behind, at most
  static constexpr int kBins = kOrders * kShares;

  // `k`: continuations kept of a row.
  RecycleTable(int vocab_size, int k);

  // A row behind `text` had these likeliest continuations, best first, with these logits.
  void add(TokenSpan text, const int32_t* tokens, const float* logits);
  // The continuations of the longest end of `text` that has an entry.
  void guess(TokenSpan text, std::vector<Guess>& guesses) const;
  void clear();

  int k() const { return k_; }
  static double prior(int bin);

 private:
  // Slots for ends of two and more tokens; a newer one takes the place of an older one.
  static constexpr size_t kSlots = 1 << 16;

  struct Table {
    std::vector<uint32_t> checks;  // tells apart what shares a slot; 0 where it is empty
    std::vector<int32_t> tokens;   // [slots][k]
    std::vector<uint8_t> shares;   // [slots][k], as bins
  };

  int vocab_size_, k_;
  std::array<Table, kOrders> tables_;
};

}  // namespace outrider
