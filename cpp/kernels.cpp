#include "kernels.hpp"

#include "error.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace outrider {

#if defined(__x86_64__)
namespace {

// Features whose names not every compiler knows, from the processor's own tables.
bool has_f16c() {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c >> 29 & 1);
}

bool has_avxvnni() {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}

}  // namespace
#endif

std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> found;
#if defined(__x86_64__)
  __builtin_cpu_init();
  // The functions that give the tables are themselves compiled for the set, so they are called only
  // where the processor has it.
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vnni") && avx512_kernels()) {
    found.push_back(avx512_kernels());
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c()) {
    if (has_avxvnni() && avxvnni_kernels()) found.push_back(avxvnni_kernels());
    if (avx2_kernels()) found.push_back(avx2_kernels());
  }
#endif
  found.push_back(&portable_kernels());
  found.push_back(&scalar_kernels());
  return found;
}

const Kernels& choose_kernels(const std::string& name) {
  const auto found = available_kernels();
  if (name.empty()) return *found.front();
  std::string known;
  for (const Kernels* kernels : found) {
    if (name == kernels->name) return *kernels;
    known += std::string(known.empty() ? "" : ", ") + kernels->name;
  }
  throw UsageError("The kernel '" + name +
                   "' does not exist or does not run on this machine; these do: " + known + ".");
}

}  // namespace outrider
