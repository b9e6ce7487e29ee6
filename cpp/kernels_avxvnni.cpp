// The kernels of AVX2 with the multiplications of AVX-VNNI, where the compiler knows them.
#if defined(__AVXVNNI__)
#include "kernels_avx2.cpp"
#else
#include "kernels.hpp"

namespace outrider {
const Kernels* avxvnni_kernels() { return nullptr; }
}  // namespace outrider
#endif
