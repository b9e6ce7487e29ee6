#include "bandwidth.hpp"

#include <algorithm>
#include <chrono>
#include <string>

#include "error.hpp"

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

MemoryReader::MemoryReader(int threads, size_t bytes)
    : pool_(threads), share_(bytes / sizeof(uint64_t) / threads), memory_(share_ * threads) {
  pool_.run(
      [&](int thread) { std::fill_n(memory_.data() + share_ * thread, share_, uint64_t{1}); });
}

double MemoryReader::read(size_t bytes) {
  const size_t count = bytes / sizeof(uint64_t) / pool_.size();
  if (count == 0 || count > share_) {
    throw UsageError("A slice of " + std::to_string(bytes) + " bytes cannot be read from " +
                     std::to_string(memory_.size() * sizeof(uint64_t)) + " bytes of memory.");
  }
  if (at_ + count > share_) at_ = 0;
  using Clock = std::chrono::steady_clock;
  Clock::time_point start, end;
  std::atomic<uint64_t> sink{0};
  pool_.run([&](int thread) {
    pool_.barrier();
    if (thread == 0) start = Clock::now();
    sink += sum_all(memory_.data() + share_ * thread + at_, count);
    pool_.barrier();
    if (thread == 0) end = Clock::now();
  });
  at_ += count;
  return static_cast<double>(count * pool_.size() * sizeof(uint64_t)) /
         std::chrono::duration<double>(end - start).count();
}

double read_bandwidth(int threads, size_t bytes, int rounds) {
  MemoryReader memory(threads, bytes);
  double best = 0;
  for (int round = 0; round < rounds; ++round) best = std::max(best, memory.read(bytes));
  return best;
}

}  // namespace outrider
