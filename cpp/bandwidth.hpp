// How fast this machine streams memory: the floor under every pass.
#pragma once

#include "threads.hpp"

namespace outrider {

// The best of `rounds` readings of `bytes` of memory by all threads of the pool, in bytes a second.
double read_bandwidth(ThreadPool& pool, size_t bytes, int rounds);

}  // namespace outrider
