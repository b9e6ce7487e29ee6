// How fast this machine streams memory: the floor under every pass.
#pragma once

#include "buffer.hpp"
#include "threads.hpp"

namespace outrider {

// Memory that is read slice by slice, each from where the one before ended, so that with enough of
// it no slice is found in a cache. Each thread has a part of the memory and of every slice.
class MemoryReader {
 public:
  MemoryReader(int threads, size_t bytes);

  // Bytes a second of the next `bytes`, the waking of the threads not counted. Throws UsageError
  // for a slice that is empty or larger than the memory.
  double read(size_t bytes);

 private:
  ThreadPool pool_;
  const size_t share_;  // words of each thread
  Buffer<uint64_t> memory_;
  size_t at_ = 0;  // in the share
};

// The best of `rounds` readings of `bytes` of memory by all threads, in bytes a second.
double read_bandwidth(int threads, size_t bytes, int rounds);

}  // namespace outrider
