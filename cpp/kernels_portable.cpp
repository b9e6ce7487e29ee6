// Kernels in plain C++ for every machine, written so that a compiler can use what vectors there
// are.
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "half.hpp"
#include "kernels.hpp"

#define OUTRIDER_PORTABLE

namespace outrider {
namespace portable {

#include "simd.hpp"
//
#include "kernels.inl"

constexpr int kSteps = kGroup / 4;  // four inputs each
constexpr int kWords = 4 * kLanes;  // products of a step and a vector

constexpr bool is_wide(Layout layout) { return code_bits(layout) == 8; }

inline V from_bytes(const uint8_t* p) {
  return each([&](int i) { return static_cast<float>(p[i]); });
}

// A group of a block's weights as the loops below take them: [step][vector][4·lane + i].
struct Codes {
  int16_t word[kSteps][2][kWords];
};

template <Layout L>
void unpack(const uint8_t* record, Codes& codes) {
  for (int j = 0; j < kSteps; ++j) {
    if constexpr (is_wide(L)) {
      for (int k = 0; k < 2 * kWords; ++k) {
        codes.word[j][k / kWords][k % kWords] =
            static_cast<int16_t>(record[2 * kWords * j + k] - code_offset(L));
      }
    } else {
      const uint8_t *both = record + kWords * j, *fifth = record + kFifthBits + 2 * kWords / 8 * j;
      for (int v = 0; v < 2; ++v) {
        int16_t* word = codes.word[j][v];
        for (int k = 0; k < kWords; ++k)
          word[k] = static_cast<int16_t>((both[k] >> (4 * v) & 15) - code_offset(L));
        if constexpr (code_bits(L) == 5) {
          for (int k = 0; k < kWords; ++k) {
            const int bit = fifth[kWords / 8 * v + k / 8] >> k % 8 & 1;
            word[k] = static_cast<int16_t>(word[k] + 16 * bit);
          }
        }
      }
    }
  }
}

// Of products with codes of 5 bits all steps of a group fit in 16 bits: 8·31·127 < 2¹⁵.
template <Layout L>
using Sum = std::conditional_t<is_wide(L), int32_t, int16_t>;

// The sums of four neighbours, which belong to one output.
template <typename T>
void fold(const T* sums, float* out) {
  for (int lane = 0; lane < kLanes; ++lane) {
    const int32_t sum =
        int32_t{sums[4 * lane]} + sums[4 * lane + 1] + sums[4 * lane + 2] + sums[4 * lane + 3];
    out[lane] = static_cast<float>(sum);
  }
}

template <Layout L>
void group_matmul(const Matrix& matrix, int block, const Activations& in, int row, int rows,
                  float* out, int64_t stride) {
  const int groups = matrix.groups();
  for (int r = row; r < row + rows; ++r) std::memset(out + r * stride, 0, kBlock * sizeof(float));
  Codes codes;
  for (int g = 0; g < groups; ++g) {
    const uint8_t* record = matrix.record(block, g);
    const uint8_t* own = record + code_bytes(L);
    const auto* halves =
        reinterpret_cast<const uint16_t*>(has_head(L) ? matrix.head(block, g) : own);
    unpack<L>(record, codes);
    V scale[2], minimum[2], code_sum[2];
    for (int v = 0; v < 2; ++v) {
      scale[v] = from_half(halves + kLanes * v);
      if constexpr (has_minimum(L)) minimum[v] = from_half(halves + kBlock + kLanes * v);
      if constexpr (has_head(L)) {
        scale[v] = mul(scale[v], from_bytes(own + kLanes * v));
        minimum[v] = mul(minimum[v], from_bytes(own + kBlock + kLanes * v));
      }
      int16_t sums[kWords] = {};
      for (int j = 0; j < kSteps; ++j) {
        for (int k = 0; k < kWords; ++k)
          sums[k] = static_cast<int16_t>(sums[k] + codes.word[j][v][k]);
      }
      fold(sums, code_sum[v].lane);
    }
    for (int r = row; r < row + rows; ++r) {
      const int8_t* four = in.codes + int64_t{r} * in.inputs + g * kGroup;
      const ActivationGroup& x = in.groups[int64_t{r} * groups + g];
      int16_t words[kGroup];
      for (int i = 0; i < kGroup; ++i) words[i] = four[i];
      Sum<L> sums[2][kWords] = {};
      for (int j = 0; j < kSteps; ++j) {
        // Four inputs, again and again, one for each weight of the step.
        uint64_t one;
        std::memcpy(&one, words + 4 * j, sizeof(one));
        std::array<uint64_t, kLanes> many;
        for (uint64_t& each_lane : many) each_lane = one;
        const auto inputs = std::bit_cast<std::array<int16_t, kWords>>(many);
        for (int v = 0; v < 2; ++v) {
          for (int k = 0; k < kWords; ++k) {
            sums[v][k] = static_cast<Sum<L>>(sums[v][k] + codes.word[j][v][k] * inputs[k]);
          }
        }
      }
      for (int v = 0; v < 2; ++v) {
        float* place = out + r * stride + kLanes * v;
        V total = load(place), dot;
        fold(sums[v], dot.lane);
        if constexpr (has_minimum(L)) total = fma(minimum[v], all(x.sum), total);
        const V product = fma(dot, all(x.scale), mul(code_sum[v], all(x.middle)));
        store(place, fma(product, scale[v], total));
      }
    }
  }
}

void matmul(const Matrix& matrix, int block, const Activations& in, int row, int rows, float* out,
            int64_t stride) {
  with_layout(matrix.layout, [&]<Layout L>() {
    if constexpr (L == Layout::F32) {
      for (int r = row; r < row + rows; ++r)
        rows_of_float_block<1>(matrix, block, in, r, out, stride);
    } else {
      group_matmul<L>(matrix, block, in, row, rows, out, stride);
    }
  });
}

}  // namespace portable

const Kernels& portable_kernels() {
  static const Kernels kernels = portable::table("portable", portable::matmul);
  return kernels;
}

}  // namespace outrider
