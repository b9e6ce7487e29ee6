#include "bandwidth.hpp"

#include <algorithm>
#include <chrono>

#include "buffer.hpp"

namespace outrider {
namespace {

// Eight independent sums, so that additions never wait for one another.
#if defined(__x86_64__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
uint64_t sum_all(const uint64_t* data, size_t count) {
  uint64_t sums[32] = {};
  for (size_t i = 0; i + 32 <= count; i += 32) {
    for (int j = 0; j < 32; ++j) sums[j] += data[i + j];
  }
  uint64_t total = 0;
  for (uint64_t s : sums) total += s;
  return total;
}

}  // namespace

double read_bandwidth(ThreadPool& pool, size_t bytes, int rounds) {
  const size_t share = bytes / sizeof(uint64_t) / pool.size();
  Buffer<uint64_t> memory(share * pool.size());
  std::atomic<uint64_t> sink{0};
  pool.run([&](int thread) { std::fill_n(memory.data() + share * thread, share, uint64_t{1}); });
  double best = 0;
  for (int round = 0; round < rounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    pool.run([&](int thread) { sink += sum_all(memory.data() + share * thread, share); });
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    best = std::max(best, static_cast<double>(memory.size() * sizeof(uint64_t)) / elapsed.count());
  }
  return best;
}

}  // namespace outrider
