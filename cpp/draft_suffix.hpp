// A suffix index: where the end of a text stood before, how far the two agree, and what followed.
#pragma once

#include <array>
#include <vector>

#include "draft_source.hpp"

namespace outrider {

// Positions that follow the same one, two or three tokens are chained, the latest first; a look-up
// walks the chains and compares backwards, so it finds the longest matches without storing one for
// every length. Memory is some 40 bytes a token. With a limit the oldest tokens are forgotten.
class SuffixIndex {
 public:
  static constexpr int kDepth = 24;   // longer matches count as this long
  static constexpr int kLengths = 8;  // bins of match lengths
  static constexpr int kBins = kLengths * kAgreements;
  static constexpr int kGuesses = 6;
  static constexpr int32_t kBorder = -1;  // a token that nothing matches

  // `limit`: tokens kept at most, a power of two; 0 keeps all.
  explicit SuffixIndex(size_t limit = 0);

  void add(int32_t token);
  // Followers of what matches the end of `text` on at least `min_match` tokens, the longest matches
  // first, of equals the more frequent and then the later one.
  void guess(TokenSpan text, int min_match, std::vector<Guess>& guesses) const;

  // Tokens kept, and the bytes they take.
  size_t size() const { return end_ - oldest(); }
  size_t bytes() const;

  static int bin(int match, Agreement agreement);
  static double prior(int bin);

 private:
  // Chains are as many as the tokens that tell their places apart.
  static constexpr int kChains = 3;
  // Places looked at in each chain: those with few tokens in common are many and say little.
  static constexpr std::array<int, kChains> kWalk = {12, 24, 48};

  struct Place {
    int32_t token;
    std::array<uint32_t, kChains> earlier;  // position + 1 of the chain's next place; 0 ends it
  };
  struct Follower {
    int32_t token;
    int match;      // the longest
    int count;      // places where it followed one of that length
    size_t latest;  // the latest of them
  };

  size_t oldest() const { return limit_ && end_ > limit_ ? end_ - limit_ : 0; }
  const Place& place(size_t position) const {
    return places_[limit_ ? position & (limit_ - 1) : position];
  }
  size_t slot(uint64_t hash) const { return hash & (heads_[0].size() - 1); }
  void chain(size_t position);
  void grow();
  int match(TokenSpan text, size_t position) const;

  size_t limit_;
  size_t end_ = 0;  // positions given out
  std::vector<Place> places_;
  std::array<std::vector<uint32_t>, kChains> heads_;  // position + 1 of the latest place
};

}  // namespace outrider
