// Which drafted nodes are worth a row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace outrider {

// The draft of one sequence, as the choice of nodes needs it.
struct Candidates {
  std::vector<std::int32_t> parents;  // a lower index, or -1
  std::vector<double> probabilities;  // given that the parent was accepted
  std::int64_t most;                  // nodes at most
  double row_ms;                      // what a row of this sequence takes beyond any row
};

// For each draft, the nodes of the best prefix, ascending; see outrider.control.prefix.
//
// pass_ms[m] is the time of the pass with m drafted rows, `count` of them known: at most count - 1
// nodes are taken. `tokens` are gained without any draft, and a draft has to beat their rate by
// the factor `gain`.
std::vector<std::vector<std::int32_t>> best_prefix(const std::vector<Candidates>& drafts,
                                                   const double* pass_ms, std::size_t count,
                                                   double tokens, double gain);

}  // namespace outrider
