#include "draft_coupling.hpp"

#include <algorithm>
#include <cmath>
#include <span>

namespace outrider {
namespace {

// Observations that the assumption of a bin is worth, and after which sums begin to forget.
constexpr double kPriorWeight = 8.0;
constexpr float kMemory = 2000.0f;
// What tokens that are not guessed have in all, at least.
constexpr double kLeastRest = 0.01;

constexpr std::array<double, Coupling::kProbabilities - 1> kProbabilityFrom = {
    0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85};
// Of a guess to the best one; of the best one to the second.
constexpr std::array<double, Coupling::kRatios - 1> kRatioFrom = {0.05, 0.2, 0.5, 1.0,
                                                                  2.0,  5.0, 20.0};
constexpr std::array<double, Coupling::kWins - 1> kWinFrom = {0.05, 0.2, 0.4, 0.6, 0.8, 0.95};

int bin(double value, std::span<const double> from) {
  int bin = 0;
  while (bin < static_cast<int>(from.size()) && value >= from[bin]) ++bin;
  return bin;
}

}  // namespace

void Coupling::bins(const std::vector<double>& probabilities, const std::vector<double>& noise,
                    std::vector<Coupled>& coupled) {
  const size_t n = probabilities.size();
  coupled.resize(n);
  double rest = 1.0, best = 0.0, second = 0.0;
  std::vector<double> weights(n);
  for (size_t i = 0; i < n; ++i) {
    const double weight = weights[i] = probabilities[i] * std::exp(noise[i]);
    rest -= probabilities[i];
    if (weight > best) {
      second = best;
      best = weight;
    } else {
      second = std::max(second, weight);
    }
  }
  rest = std::max(rest, kLeastRest);
  for (size_t i = 0; i < n; ++i) {
    int rank = 0;
    for (size_t j = 0; j < n && rank + 1 < kRanks; ++j) {
      rank += weights[j] > weights[i] || (weights[j] == weights[i] && j < i);
    }
    const double wins = weights[i] > 0.0 ? std::exp(-rest / weights[i]) : 0.0;
    const double other = rank ? best : second;
    const double ratio = other > 0.0 ? weights[i] / other : kRatioFrom.back();
    const int place = bin(probabilities[i], kProbabilityFrom) * kRanks + rank;
    coupled[i] = {(place * kRatios + bin(ratio, kRatioFrom)) * kWins + bin(wins, kWinFrom),
                  0.5 * (probabilities[i] + (rank ? 0.0 : wins))};
  }
}

double Coupling::probability(const Coupled& coupled, int temperature) const {
  return hits_[coupled.bin * Calibration::kTemperatures + temperature].shrunk(coupled.prior,
                                                                              kPriorWeight);
}

void Coupling::add(const Coupled& coupled, int temperature, bool right) {
  hits_[coupled.bin * Calibration::kTemperatures + temperature].add(right, kMemory);
}

}  // namespace outrider
