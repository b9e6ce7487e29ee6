#include "draft_ngram.hpp"

#include <algorithm>
#include <array>

namespace outrider {

void NgramIndex::add(TokenSpan text) {
  const int32_t token = text.back();
  const auto before = text.first(text.size() - 1);
  const int longest = std::min<int>(max_match_, static_cast<int>(before.size()));
  uint64_t gram = 0;
  for (int n = 1; n <= longest; ++n) {
    gram = chain_hash(gram, static_cast<uint32_t>(before[before.size() - n]));
    if (n < min_match_) continue;
    const int count = ++counts_[chain_hash(~gram, static_cast<uint32_t>(token))];
    Followers& known = followers_[gram];
    known.latest = token;
    known.latest_count = count;
    ++known.total;
    if (count >= known.best_count) {
      known.best = token;
      known.best_count = count;
    }
  }
}

void NgramIndex::guess(TokenSpan text, std::vector<Guess>& guesses) const {
  const int longest = std::min<int>(max_match_, static_cast<int>(text.size()));
  const Followers* found = nullptr;
  int match = 0;
  uint64_t gram = 0;
  // Where a gram has not been seen, no longer one has.
  for (int n = 1; n <= longest; ++n) {
    gram = chain_hash(gram, static_cast<uint32_t>(text[text.size() - n]));
    if (n < min_match_) continue;
    const Followers* known = followers_.find(gram);
    if (!known) break;
    found = known;
    match = n;
  }
  if (!found) return;
  guesses.push_back({found->best, bin(match, agreement(found->best_count, found->total), 0)});
  if (found->latest != found->best) {
    guesses.push_back({found->latest, bin(match, agreement(found->latest_count, found->total), 1)});
  }
}

int NgramIndex::bin(int match, Agreement agreement, int rank) {
  const int length = std::min(match, kLengths) - 1;
  return (length * kAgreements + static_cast<int>(agreement)) * 2 + rank;
}

double NgramIndex::prior(int bin) {
  constexpr std::array<double, kLengths> by_length = {0.15, 0.4, 0.6, 0.7, 0.75, 0.8};
  constexpr std::array<double, kAgreements> by_agreement = {0.8, 1.0, 0.7, 0.4};
  const double first = by_length[bin / (2 * kAgreements)] * by_agreement[bin / 2 % kAgreements];
  return bin % 2 ? 0.4 * (1.0 - first) * first : first;
}

}  // namespace outrider
