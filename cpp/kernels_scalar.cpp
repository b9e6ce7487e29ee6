// Portable kernels: the reference that all others equal byte for byte.
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "half.hpp"
#include "kernels.hpp"

#define OUTRIDER_PORTABLE

namespace outrider {
namespace scalar {

#include "simd.hpp"
//
#include "kernels.inl"

// The quantised arithmetic as it is defined: the integer products of a group are summed exactly,
// then one multiplication of the scales and one fused multiply-add, groups ascending.
void matmul(const Matrix& matrix, int block, const Activations& in, int row, int rows, float* out,
            int64_t stride) {
  const int groups = matrix.groups();
  for (int r = row; r < row + rows; ++r) {
    for (int lane = 0; lane < kBlock; ++lane) {
      const int output = block * kBlock + lane;
      float total = 0;
      for (int g = 0; g < groups; ++g) {
        if (matrix.layout == Layout::F32) {
          for (int i = g * kGroup; i < (g + 1) * kGroup; ++i) {
            total = std::fma(matrix.weight(output, i), in.floats[int64_t{r} * in.inputs + i], total);
          }
          continue;
        }
        int32_t dot = 0;
        for (int i = g * kGroup; i < (g + 1) * kGroup; ++i) {
          dot += matrix.code(output, i) * in.codes[int64_t{r} * in.inputs + i];
        }
        const int64_t place = int64_t{r} * groups + g;
        if (matrix.layout == Layout::U4M) {
          total = std::fma(matrix.minimum(output, g), in.scaled_sums[place], total);
        }
        total = std::fma(static_cast<float>(dot), matrix.scale(output, g) * in.scales[place], total);
      }
      out[r * stride + lane] = total;
    }
  }
}

}  // namespace scalar

const Kernels& scalar_kernels() {
  static const Kernels kernels = scalar::table("scalar", scalar::matmul);
  return kernels;
}

}  // namespace outrider
