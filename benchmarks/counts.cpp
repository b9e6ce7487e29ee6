// Passes to be counted by callgrind; `benchmarks/counts.py` runs this and reads what it leaves.
//
//   outrider_counts MODEL KERNEL CONTEXT ROWS...
//
// For each number of rows, a chain of drafted rows behind CONTEXT tokens is computed twice and
// leaves two dumps: with the logits of every row, and with none.
#include <valgrind/callgrind.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <vector>

#include "engine.hpp"
#include "error.hpp"
#include "gguf.hpp"

using namespace outrider;

namespace {

void run(Engine& engine, int64_t sequence, int rows, bool want_logits) {
  const std::vector<int32_t> of(rows, static_cast<int32_t>(sequence));
  std::vector<int32_t> tokens(rows), parents(rows);
  for (int i = 0; i < rows; ++i) tokens[i] = (i * 7919 + 11) % engine.model().hyper.vocab;
  std::iota(parents.begin(), parents.end(), -1);
  const auto no = std::make_unique<bool[]>(rows), want = std::make_unique<bool[]>(rows);
  std::fill_n(want.get(), rows, want_logits);
  const size_t n = rows;
  const RowSpans spans{of, tokens, parents, {no.get(), n}, {want.get(), n}};

  engine.forward(spans, -1, {});  // memory and tables are made by the first pass that needs them
  CALLGRIND_START_INSTRUMENTATION;
  CALLGRIND_ZERO_STATS;
  engine.forward(spans, -1, {});
  CALLGRIND_DUMP_STATS;
  CALLGRIND_STOP_INSTRUMENTATION;
}

}  // namespace

int main(int count, char** arguments) try {
  if (count < 5) {
    std::fputs("usage: outrider_counts MODEL KERNEL CONTEXT ROWS...\n", stderr);
    return 2;
  }
  const int64_t context = std::atoll(arguments[3]);
  EngineOptions options;
  options.kernel = arguments[2];
  options.cache_bytes = size_t{1} << 30;
  Engine engine(Gguf::open(arguments[1]), options);
  const int64_t id = engine.open({}, context + engine.max_rows(), false).id;
  engine.pretend(id, context);
  for (int i = 4; i < count; ++i) {
    for (const bool want_logits : {true, false}) {
      run(engine, id, std::atoi(arguments[i]), want_logits);
    }
  }
  return 0;
} catch (const Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
