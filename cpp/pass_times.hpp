// What passes take; see outrider.control.passes for the model behind it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace outrider {

// A sequence's context, and its rows in a pass.
using SequenceRows = std::vector<std::pair<std::int64_t, std::int64_t>>;

// What a pass takes beyond its rows, linear as attention is.
struct Attention {
  double first_ms;     // a token of context, for the first row of a sequence
  double further_ms;   // a token of context, for each further row
  double sequence_ms;  // each sequence but one
};

// The measured curve, a factor for all passes, and a factor for each number of rows.
class PassTimes {
 public:
  // Rows up to which passes are learned from, each number of rows by itself.
  static constexpr std::size_t kLargest = 128;

  // `measured` are milliseconds of 0, 1, … kLargest rows without a context; beyond, a line.
  PassTimes(const std::vector<double>& measured, const Attention& attention);

  // Of a pass over `rows` and 0, 1, … `further` more of any of these sequences.
  std::vector<double> ms(const SequenceRows& rows, std::size_t further) const;
  double ms(const SequenceRows& rows) const;

  // What a further row takes beyond what any row takes, for its sequence is this long.
  double row_ms(std::int64_t context) const;

  // Learn from a pass that was made; of one beyond kLargest rows nothing is learned.
  void observe(const SequenceRows& rows, double pass_ms);

 private:
  using BySize = std::array<double, kLargest + 1>;

  double of_rows(std::size_t rows) const;
  double of_attention(const SequenceRows& rows) const;
  bool persists(double error);
  void refit();
  BySize line_factors() const;

  BySize measured_{};
  Attention attention_;
  BySize times_{};    // measured, times the factors
  BySize factor_{};   // logarithms, like the common one
  BySize average_{};  // what they would be by the passes of their size alone
  BySize seen_{};
  BySize recent_{};
  double common_ = 0.0;
  std::int64_t passes_ = 0;
  std::vector<double> beyond_;  // errors in a row that were clipped
};

}  // namespace outrider
