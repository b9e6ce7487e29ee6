// A pool of threads that run one function together, with barriers inside.
//
// Between runs the threads sleep. Within a run a barrier is met many hundred times a pass, so it
// spins first, and parks only when another thread stays away long.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace outrider {

// Sets flush-to-zero and denormals-are-zero for as long as it lives: subnormal numbers cost a
// hundred cycles each, and every thread has to treat them alike.
class FloatMode {
 public:
  FloatMode();
  ~FloatMode();
  FloatMode(const FloatMode&) = delete;
  FloatMode& operator=(const FloatMode&) = delete;

 private:
  uint32_t before_;
};

class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return size_; }

  // Call `work(thread)` on every thread, the caller's being thread 0, and wait for all.
  void run(const std::function<void(int)>& work);

  // Within `run`: wait until every thread has come here.
  void barrier();

  // Within `run`: numbers 0, 1, 2, … handed to whoever asks next, after `reset_counter`.
  void reset_counter() { counter_.store(0, std::memory_order_relaxed); }
  int64_t next() { return counter_.fetch_add(1, std::memory_order_relaxed); }

 private:
  void worker(int thread);

  const int size_;
  std::vector<std::thread> workers_;
  const std::function<void(int)>* work_ = nullptr;
  alignas(64) std::atomic<uint32_t> run_{0};
  alignas(64) std::atomic<uint32_t> arrived_{0};
  alignas(64) std::atomic<uint32_t> phase_{0};
  alignas(64) std::atomic<int64_t> counter_{0};
  std::atomic<bool> stop_{false};
};

}  // namespace outrider
