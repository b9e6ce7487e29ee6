// What the target's noise says of guesses, where tokens are drawn at random.
//
// Coupled verification chooses the token of the largest log-probability plus Gumbel noise, and the
// noise is known beforehand. So of several guesses the one to expect is not the likeliest but the
// one whose probability and noise together are largest.
#pragma once

#include <array>
#include <vector>

#include "draft_calibration.hpp"

namespace outrider {

// A guess as its noise leaves it: of what kind it is now, and what is assumed of that kind.
struct Coupled {
  int bin;
  double prior;
};

class Coupling {
 public:
  static constexpr int kProbabilities = 9, kRanks = 4, kRatios = 8, kWins = 7;
  static constexpr int kBins = kProbabilities * kRanks * kRatios * kWins;

  // Of guesses with these probabilities and this Gumbel noise. A guess beats all tokens that are
  // not guessed with the probability e^(-rest / (p e^noise)), for theirs are `rest` in all. That
  // would be exact if the probabilities were the target's; they are averages over texts that looked
  // alike, so what comes true of it is counted.
  static void bins(const std::vector<double>& probabilities, const std::vector<double>& noise,
                   std::vector<Coupled>& coupled);

  double probability(const Coupled& coupled, int temperature) const;
  void add(const Coupled& coupled, int temperature, bool right);
  void clear() { hits_ = {}; }

 private:
  std::array<Hits, kBins * Calibration::kTemperatures> hits_{};
};

}  // namespace outrider
