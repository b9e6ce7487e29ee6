#include "draft_suffix.hpp"

#include <algorithm>

#include "draft_table.hpp"

namespace outrider {
namespace {

constexpr size_t kFirstSlots = 1024;

// Match lengths from which on a bin counts.
constexpr std::array<int, SuffixIndex::kLengths> kFrom = {1, 2, 3, 4, 6, 9, 14, 24};

}  // namespace

SuffixIndex::SuffixIndex(size_t limit) : limit_(limit) {
  if (limit_) places_.resize(limit_);
  for (auto& heads : heads_) heads.assign(limit_ ? limit_ : kFirstSlots, 0);
}

size_t SuffixIndex::bytes() const {
  return places_.capacity() * sizeof(Place) + kChains * heads_[0].capacity() * sizeof(uint32_t);
}

void SuffixIndex::add(int32_t token) {
  if (!limit_) {
    places_.emplace_back();
    if (places_.size() > heads_[0].size()) grow();
  } else if (end_ == UINT32_MAX - 1) {
    // Positions are used up after four thousand million tokens; the index starts anew.
    *this = SuffixIndex(limit_);
  }
  const size_t position = end_++;
  places_[limit_ ? position & (limit_ - 1) : position].token = token;
  chain(position);
}

// Puts a position at the head of the chains of the tokens before it.
void SuffixIndex::chain(size_t position) {
  auto& earlier = places_[limit_ ? position & (limit_ - 1) : position].earlier;
  earlier = {};
  uint64_t hash = 0;
  for (int n = 1; n <= kChains && position >= oldest() + n; ++n) {
    hash = chain_hash(hash, static_cast<uint32_t>(place(position - n).token));
    uint32_t& head = heads_[n - 1][slot(hash)];
    earlier[n - 1] = head;
    head = static_cast<uint32_t>(position + 1);
  }
}

void SuffixIndex::grow() {
  for (auto& heads : heads_) heads.assign(4 * heads.size(), 0);
  for (size_t position = 0; position < end_; ++position) chain(position);
}

// On how many tokens the end of `text` and the end of what stands before `position` agree.
int SuffixIndex::match(TokenSpan text, size_t position) const {
  const size_t longest = std::min<size_t>({kDepth, text.size(), position - oldest()});
  size_t n = 0;
  while (n < longest && text[text.size() - 1 - n] == place(position - 1 - n).token) ++n;
  return static_cast<int>(n);
}

void SuffixIndex::guess(TokenSpan text, int min_match, std::vector<Guess>& guesses) const {
  std::vector<Follower> found;
  found.reserve(kGuesses);
  std::array<int, kDepth + 1> places{};  // by match length
  std::array<uint64_t, kChains> hashes;
  uint64_t hash = 0;
  const int chains = std::min<int>(kChains, static_cast<int>(text.size()));
  for (int n = 1; n <= chains; ++n) {
    hash = chain_hash(hash, static_cast<uint32_t>(text[text.size() - n]));
    hashes[n - 1] = hash;
  }
  for (int n = chains; n >= 1; --n) {
    uint32_t next = heads_[n - 1][slot(hashes[n - 1])];
    for (int walked = 0; walked < kWalk[n - 1] && next > oldest(); ++walked) {
      const size_t position = next - 1;
      next = place(position).earlier[n - 1];
      const int matched = match(text, position);
      // Longer matches stand in the longer chain.
      if (matched < min_match || matched < n || (matched > n && n < kChains)) continue;
      const int32_t token = place(position).token;
      if (token == kBorder) continue;
      ++places[matched];
      auto known = std::find_if(found.begin(), found.end(),
                                [token](const Follower& f) { return f.token == token; });
      if (known == found.end()) {
        if (found.size() == kGuesses) continue;
        known = found.insert(known, {token, 0, 0, 0});
      }
      if (matched > known->match) *known = {token, matched, 0, position};
      if (matched == known->match) ++known->count;
    }
  }
  std::sort(found.begin(), found.end(), [](const Follower& a, const Follower& b) {
    if (a.match != b.match) return a.match > b.match;
    return a.count != b.count ? a.count > b.count : a.latest > b.latest;
  });
  for (int n = kDepth; n-- > 0;) places[n] += places[n + 1];  // now: matches at least this long
  for (const Follower& f : found) {
    guesses.push_back({f.token, bin(f.match, agreement(f.count, places[f.match]))});
  }
}

int SuffixIndex::bin(int match, Agreement agreement) {
  int length = 0;
  while (length + 1 < kLengths && match >= kFrom[length + 1]) ++length;
  return length * kAgreements + static_cast<int>(agreement);
}

double SuffixIndex::prior(int bin) {
  constexpr std::array<double, kLengths> by_length = {0.15, 0.35, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9};
  constexpr std::array<double, kAgreements> by_agreement = {0.8, 1.0, 0.7, 0.3};
  return by_length[bin / kAgreements] * by_agreement[bin % kAgreements];
}

}  // namespace outrider
