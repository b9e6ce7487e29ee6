// Portable kernels: the reference that all others equal byte for byte.
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "half.hpp"
#include "kernels.hpp"

#define OUTRIDER_PORTABLE

namespace outrider {
namespace scalar {

#include "simd.hpp"
//
#include "kernels.inl"

// The quantised arithmetic as it is defined. With weights scale·code + minimum and activations
// middle + scale·code, a group of 32 gives
//   minimum·Σ x  +  scale·(x.scale·Σ code·x.code + x.middle·Σ code),
// where the sums of codes are exact integers and the rest is this sequence of roundings; groups
// ascending.
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
            total =
                std::fma(matrix.weight(output, i), in.floats[int64_t{r} * in.inputs + i], total);
          }
          continue;
        }
        int32_t dot = 0, code_sum = 0;
        for (int i = g * kGroup; i < (g + 1) * kGroup; ++i) {
          dot += matrix.code(output, i) * in.codes[int64_t{r} * in.inputs + i];
          code_sum += matrix.code(output, i);
        }
        const ActivationGroup& x = in.groups[int64_t{r} * groups + g];
        if (has_minimum(matrix.layout)) total = std::fma(matrix.minimum(output, g), x.sum, total);
        const float product =
            std::fma(static_cast<float>(dot), x.scale, static_cast<float>(code_sum) * x.middle);
        total = std::fma(product, matrix.scale(output, g), total);
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
