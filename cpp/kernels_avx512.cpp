// Kernels for AVX-512 with VNNI: 64 products of 8-bit numbers an instruction.
#include "kernels.hpp"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && \
    defined(__AVX512VNNI__)

#include <immintrin.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace outrider {
namespace avx512 {

#include "simd.hpp"
//
#include "kernels.inl"

// How far ahead of the weights in use the next ones are fetched, in bytes.
constexpr int kAhead = 2048;

inline __m512i broadcast4(const int8_t* p) {
  int32_t four;
  std::memcpy(&four, p, sizeof(four));
  return _mm512_set1_epi32(four);
}

inline V from_bytes(const uint8_t* p) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}

// R rows of one block. The integer products of a group are exact in any order; see the scalar
// kernel for the order of the rest.
template <Layout L, int R>
void rows_of_block(const Matrix& matrix, int block, const Activations& in, int row, float* out,
                   int64_t stride) {
  const int groups = matrix.groups();
  const uint8_t* record = matrix.block(block);
  const uint8_t* head = nullptr;
  const int8_t* codes = in.codes + int64_t{row} * in.inputs;
  const ActivationGroup* x = in.groups + int64_t{row} * groups;
  // Codes are stored with an offset that makes them unsigned; it is taken off where sums begin.
  constexpr bool wide = code_bytes(L) == 1024;
  constexpr int offset = L == Layout::U4 ? -8 : wide ? -128 : 0;
  const __m512i low = _mm512_set1_epi8(15), ones = _mm512_set1_epi8(1);
  V total[R][2];
  for (int r = 0; r < R; ++r) total[r][0] = total[r][1] = all(0);

  for (int g = 0; g < groups; ++g, ++x, record += record_bytes(L)) {
    if (head_bytes(L) && g % kHeadGroups == 0) {
      head = record;
      record += head_bytes(L);
    }
    __m512i dot[R][2], code_sum[2];
    code_sum[0] = code_sum[1] = _mm512_set1_epi32(offset * kGroup);
    for (int r = 0; r < R; ++r) {
      dot[r][0] = dot[r][1] = offset ? _mm512_set1_epi32(offset * x[int64_t{r} * groups].code_sum)
                                     : _mm512_setzero_si512();
    }
    for (int j = 0; j < kGroup / 4; ++j) {
      __m512i w0, w1;
      if constexpr (wide) {
        w0 = _mm512_load_si512(record + 128 * j);
        w1 = _mm512_load_si512(record + 128 * j + 64);
        _mm_prefetch(reinterpret_cast<const char*>(record + 128 * j + kAhead), _MM_HINT_T0);
        _mm_prefetch(reinterpret_cast<const char*>(record + 128 * j + 64 + kAhead), _MM_HINT_T0);
      } else {
        const __m512i both = _mm512_load_si512(record + 64 * j);
        w0 = _mm512_and_si512(both, low);
        w1 = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
        _mm_prefetch(reinterpret_cast<const char*>(record + 64 * j + kAhead), _MM_HINT_T0);
      }
      code_sum[0] = _mm512_dpbusd_epi32(code_sum[0], w0, ones);
      code_sum[1] = _mm512_dpbusd_epi32(code_sum[1], w1, ones);
      for (int r = 0; r < R; ++r) {
        const __m512i four = broadcast4(codes + int64_t{r} * in.inputs + g * kGroup + 4 * j);
        dot[r][0] = _mm512_dpbusd_epi32(dot[r][0], w0, four);
        dot[r][1] = _mm512_dpbusd_epi32(dot[r][1], w1, four);
      }
    }
    const uint8_t* own = record + code_bytes(L);
    const auto* halves = reinterpret_cast<const uint16_t*>(L == Layout::U4K ? head : own);
    if constexpr (!wide) _mm_prefetch(reinterpret_cast<const char*>(own) + kAhead, _MM_HINT_T0);
    V scale0 = from_half(halves), scale1 = from_half(halves + kLanes);
    if constexpr (L == Layout::U4K) {
      scale0 = mul(scale0, from_bytes(own));
      scale1 = mul(scale1, from_bytes(own + kLanes));
    }
    if constexpr (has_minimum(L)) {
      V minimum0 = from_half(halves + kBlock), minimum1 = from_half(halves + kBlock + kLanes);
      if constexpr (L == Layout::U4K) {
        minimum0 = mul(minimum0, from_bytes(own + kBlock));
        minimum1 = mul(minimum1, from_bytes(own + kBlock + kLanes));
      } else {
        _mm_prefetch(reinterpret_cast<const char*>(halves + kBlock) + kAhead, _MM_HINT_T0);
      }
      for (int r = 0; r < R; ++r) {
        const V value_sum = all(x[int64_t{r} * groups].sum);
        total[r][0] = fma(minimum0, value_sum, total[r][0]);
        total[r][1] = fma(minimum1, value_sum, total[r][1]);
      }
    }
    const V sum0 = _mm512_cvtepi32_ps(code_sum[0]), sum1 = _mm512_cvtepi32_ps(code_sum[1]);
    for (int r = 0; r < R; ++r) {
      const V x_scale = all(x[int64_t{r} * groups].scale),
              middle = all(x[int64_t{r} * groups].middle);
      total[r][0] =
          fma(fma(_mm512_cvtepi32_ps(dot[r][0]), x_scale, mul(sum0, middle)), scale0, total[r][0]);
      total[r][1] =
          fma(fma(_mm512_cvtepi32_ps(dot[r][1]), x_scale, mul(sum1, middle)), scale1, total[r][1]);
    }
  }
  for (int r = 0; r < R; ++r) {
    store(out + (row + r) * stride, total[r][0]);
    store(out + (row + r) * stride + kLanes, total[r][1]);
  }
}

template <int R>
void rows_of_any(const Matrix& matrix, int block, const Activations& in, int row, float* out,
                 int64_t stride) {
  switch (matrix.layout) {
    case Layout::U4:
      return rows_of_block<Layout::U4, R>(matrix, block, in, row, out, stride);
    case Layout::U4M:
      return rows_of_block<Layout::U4M, R>(matrix, block, in, row, out, stride);
    case Layout::U4K:
      return rows_of_block<Layout::U4K, R>(matrix, block, in, row, out, stride);
    case Layout::I8:
      return rows_of_block<Layout::I8, R>(matrix, block, in, row, out, stride);
    case Layout::I8M:
      return rows_of_block<Layout::I8M, R>(matrix, block, in, row, out, stride);
    case Layout::F32:
      return rows_of_float_block<R>(matrix, block, in, row, out, stride);
  }
}

// Six rows are what fits in registers; more rows share the block's weights from the first cache.
void matmul(const Matrix& matrix, int block, const Activations& in, int row, int rows, float* out,
            int64_t stride) {
  constexpr int most = 6;
  int parts = (rows + most - 1) / most;
  while (rows > 0) {
    const int here = (rows + parts - 1) / parts;
    switch (here) {
      case 1:
        rows_of_any<1>(matrix, block, in, row, out, stride);
        break;
      case 2:
        rows_of_any<2>(matrix, block, in, row, out, stride);
        break;
      case 3:
        rows_of_any<3>(matrix, block, in, row, out, stride);
        break;
      case 4:
        rows_of_any<4>(matrix, block, in, row, out, stride);
        break;
      case 5:
        rows_of_any<5>(matrix, block, in, row, out, stride);
        break;
      default:
        rows_of_any<6>(matrix, block, in, row, out, stride);
    }
    row += here;
    rows -= here;
    --parts;
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
