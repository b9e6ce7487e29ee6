// Prompt lookup: what followed the last few tokens earlier in the same text.
#pragma once

#include <vector>

#include "draft_source.hpp"
#include "draft_table.hpp"

namespace outrider {

class NgramIndex {
 public:
  static constexpr int kLengths = 6;  // longer matches share a bin with those of this length
  static constexpr int kBins = kLengths * kAgreements * 2;

  // 1 <= min_match <= max_match.
  NgramIndex(int min_match, int max_match) : min_match_(min_match), max_match_(max_match) {}

  // The last token of `text` has come.
  void add(TokenSpan text);
  // Of the longest match with the end of `text`: the most frequent follower (the latest of equals),
  // and the latest one where that is another.
  void guess(TokenSpan text, std::vector<Guess>& guesses) const;

  // The bin of a guess before anything else is known of it: 0 for the first guess, 1 for the
  // second.
  static int bin(int match, Agreement agreement, int rank);
  // How often such guesses are right before anything was counted.
  static double prior(int bin);

 private:
  struct Followers {
    int32_t best = -1, latest = -1;
    int best_count = 0, latest_count = 0, total = 0;
  };

  int min_match_, max_match_;
  HashTable<Followers> followers_;
  HashTable<int> counts_;  // of a follower of an n-gram
};

}  // namespace outrider
