#include "threads.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace outrider {
namespace {

// About 50 µs: longer than any thread lags behind while it has a core of its own.
constexpr int kSpins = 1000;

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

void wait_while(std::atomic<uint32_t>& value, uint32_t old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    relax();
  }
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace

#if defined(__x86_64__)
FloatMode::FloatMode() : before_(_mm_getcsr()) {
  constexpr uint32_t flush_to_zero = 0x8000, denormals_are_zero = 0x0040, rounding = 0x6000;
  _mm_setcsr((before_ & ~rounding) | flush_to_zero | denormals_are_zero);
}
FloatMode::~FloatMode() { _mm_setcsr(before_); }
#else
FloatMode::FloatMode() : before_(0) {}
FloatMode::~FloatMode() = default;
#endif

ThreadPool::ThreadPool(int threads) : size_(threads) {
  for (int t = 1; t < size_; ++t) workers_.emplace_back([this, t] { worker(t); });
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  run_.fetch_add(1, std::memory_order_release);
  run_.notify_all();
  for (std::thread& thread : workers_) thread.join();
}

void ThreadPool::worker(int thread) {
  const FloatMode mode;
  uint32_t seen = 0;
  while (true) {
    run_.wait(seen, std::memory_order_acquire);
    const uint32_t now = run_.load(std::memory_order_acquire);
    if (now == seen) continue;
    seen = now;
    if (stop_) return;
    (*work_)(thread);
    barrier();
  }
}

void ThreadPool::run(const std::function<void(int)>& work) {
  const FloatMode mode;
  if (size_ == 1) {
    work(0);
    return;
  }
  work_ = &work;
  run_.fetch_add(1, std::memory_order_release);
  run_.notify_all();
  work(0);
  barrier();
}

void ThreadPool::barrier() {
  if (size_ == 1) return;
  const uint32_t phase = phase_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == static_cast<uint32_t>(size_) - 1) {
    arrived_.store(0, std::memory_order_relaxed);
    phase_.fetch_add(1, std::memory_order_release);
    phase_.notify_all();
  } else {
    wait_while(phase_, phase);
  }
}

}  // namespace outrider
