// Kernels for AVX-512 with VNNI: 64 products of 8-bit numbers an instruction.
#include "kernels.hpp"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && \
    defined(__AVX512VNNI__)

#include <immintrin.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

namespace outrider {
namespace avx512 {

#include "simd.hpp"
//
#include "kernels.inl"

// Vectors of outputs in a block.
constexpr int kVectors = kBlock / kLanes;

// How far ahead of the weights in use the next ones are fetched, in bytes.
constexpr int kAhead = 6144;

inline V from_bytes(const uint8_t* p) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}

constexpr bool is_wide(Layout layout) { return code_bits(layout) == 8; }

// Stored codes of 4 inputs for each output of vector v of the block.
template <Layout L>
inline __m512i load_codes(const uint8_t* record, int j, int v) {
  if constexpr (is_wide(L)) return _mm512_load_si512(record + 128 * j + 64 * v);
  const __m512i both = _mm512_load_si512(record + 64 * j), low = _mm512_set1_epi8(15);
  const __m512i codes = _mm512_and_si512(v ? _mm512_srli_epi16(both, 4) : both, low);
  if constexpr (code_bits(L) == 4) return codes;
  uint64_t fifth;
  std::memcpy(&fifth, record + kFifthBits + 16 * j + 8 * v, sizeof(fifth));
  return _mm512_mask_add_epi8(codes, _cvtu64_mask64(fifth), codes, _mm512_set1_epi8(16));
}

// R rows of one block. The integer products of a group are exact in any order; see the scalar
// kernel for the order of the rest. The loops have to be unrolled by order: left to itself the
// compiler stops at six rows.
template <Layout L, int R>
void rows_of_block(const Matrix& matrix, int block, const Activations& in, int row, float* out,
                   int64_t stride) {
  const int groups = matrix.groups();
  const uint8_t* record = matrix.block(block);
  const uint8_t* head = nullptr;
  const int8_t* codes = in.codes + int64_t{row} * in.inputs;
  const ActivationGroup* x = in.groups + int64_t{row} * groups;
  // What makes codes unsigned is taken off where sums begin.
  constexpr int offset = -code_offset(L);
  const __m512i ones = _mm512_set1_epi8(1);
  V total[R][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) total[r][v] = all(0);
  }

  for (int g = 0; g < groups; ++g, ++x, codes += kGroup, record += record_bytes(L)) {
    if (head_bytes(L) && g % kHeadGroups == 0) {
      head = record;
      record += head_bytes(L);
    }
    const uint8_t* own = record + code_bytes(L);
    const auto* halves = reinterpret_cast<const uint16_t*>(has_head(L) ? head : own);
    for (int line = 0; line < record_bytes(L); line += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(record + line + kAhead), _MM_HINT_T0);
    }
    __m512i dot[R][kVectors], code_sum[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      code_sum[v] = is_wide(L) ? _mm512_set1_epi32(offset * kGroup) : _mm512_setzero_si512();
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        dot[r][v] = offset ? _mm512_set1_epi32(offset * x[int64_t{r} * groups].code_sum)
                           : _mm512_setzero_si512();
      }
    }
#pragma GCC unroll 16
    for (int j = 0; j < kGroup / 4; ++j) {
      __m512i weights[kVectors];
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) {
        weights[v] = load_codes<L>(record, j, v);
        // Eight codes of 5 bits fit a byte, and adding leaves the multipliers to the rows.
        code_sum[v] = is_wide(L) ? _mm512_dpbusd_epi32(code_sum[v], weights[v], ones)
                                 : _mm512_add_epi8(code_sum[v], weights[v]);
      }
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        int32_t four;
        std::memcpy(&four, codes + int64_t{r} * in.inputs + 4 * j, sizeof(four));
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) {
          dot[r][v] = _mm512_dpbusd_epi32(dot[r][v], weights[v], _mm512_set1_epi32(four));
        }
      }
    }
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      const int lane = v * kLanes;
      if constexpr (!is_wide(L)) {
        code_sum[v] = _mm512_dpbusd_epi32(_mm512_set1_epi32(offset * kGroup), code_sum[v], ones);
      }
      V scale = from_half(halves + lane);
      if constexpr (has_head(L)) scale = mul(scale, from_bytes(own + lane));
      if constexpr (has_minimum(L)) {
        V minimum = from_half(halves + kBlock + lane);
        if constexpr (has_head(L)) minimum = mul(minimum, from_bytes(own + kBlock + lane));
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
          total[r][v] = fma(minimum, all(x[int64_t{r} * groups].sum), total[r][v]);
        }
      }
      const V sum = _mm512_cvtepi32_ps(code_sum[v]);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const ActivationGroup& group = x[int64_t{r} * groups];
        const V product =
            fma(_mm512_cvtepi32_ps(dot[r][v]), all(group.scale), mul(sum, all(group.middle)));
        total[r][v] = fma(product, scale, total[r][v]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      store(out + (row + r) * stride + v * kLanes, total[r][v]);
    }
  }
}

template <int R>
void rows_of_any(const Matrix& matrix, int block, const Activations& in, int row, float* out,
                 int64_t stride) {
  with_layout(matrix.layout, [&]<Layout L>() {
    if constexpr (L == Layout::F32) {
      rows_of_float_block<R>(matrix, block, in, row, out, stride);
    } else {
      rows_of_block<L, R>(matrix, block, in, row, out, stride);
    }
  });
}

// With more rows the sums of a block no longer fit into the registers. From seven on some lie in
// memory: that is a loss where the weights are at hand, but less of one than going through them
// twice while they come from memory.
constexpr int kMostRows = 8, kEasyRows = 6;

using RowsOf = void (*)(const Matrix&, int, const Activations&, int, float*, int64_t);

template <int... R>
constexpr std::array<RowsOf, sizeof...(R)> rows_table(std::integer_sequence<int, R...>) {
  return {rows_of_any<R + 1>...};
}

// More rows than fit are done in equal parts, which share the block's weights from the first cache.
void matmul(const Matrix& matrix, int block, const Activations& in, int row, int rows, float* out,
            int64_t stride) {
  static constexpr auto rows_of = rows_table(std::make_integer_sequence<int, kMostRows>());
  int parts = rows <= kMostRows ? 1 : (rows + kEasyRows - 1) / kEasyRows;
  for (; rows > 0; --parts) {
    const int here = (rows + parts - 1) / parts;
    rows_of[here - 1](matrix, block, in, row, out, stride);
    row += here;
    rows -= here;
  }
}

}  // namespace avx512

const Kernels* avx512_kernels() {
  static const Kernels kernels = avx512::table("avx512-vnni", avx512::matmul);
  return &kernels;
}

}  // namespace outrider

#else

namespace outrider {
const Kernels* avx512_kernels() { return nullptr; }
}  // namespace outrider

#endif
