#include "kernels.hpp"

#include "error.hpp"

namespace outrider {

std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> found;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (avx512_kernels() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni")) {
    found.push_back(avx512_kernels());
  }
#endif
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
