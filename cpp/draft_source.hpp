// What the sources of a draft have in common: each guesses which token comes next.
#pragma once

#include <cstdint>
#include <span>

namespace outrider {

using TokenSpan = std::span<const int32_t>;

// A token that may come next. The bin says how good the evidence for it is, and nothing more: what
// probability that stands for is found by counting (see draft_calibration.hpp).
struct Guess {
  int32_t token;
  int bin;
};

// How much of what followed the same tokens before agrees with a guess.
enum class Agreement { Once, Always, Mostly, Seldom };
constexpr int kAgreements = 4;

inline Agreement agreement(int count, int total) {
  if (count == total) return total == 1 ? Agreement::Once : Agreement::Always;
  return 2 * count >= total ? Agreement::Mostly : Agreement::Seldom;
}

}  // namespace outrider
