// Kernels for AVX2 with FMA and F16C, and, compiled once more by kernels_avxvnni.cpp, for AVX-VNNI,
// which multiplies and adds 8-bit numbers in one instruction instead of two or four.
#include "kernels.hpp"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

namespace outrider {
#ifdef __AVXVNNI__
namespace avxvnni {
#else
namespace avx2 {
#endif

#include "simd.hpp"
//
#include "kernels.inl"

// How far ahead of the weights in use the next ones are fetched, in bytes.
constexpr int kAhead = 2048;

#ifdef __AVXVNNI__
constexpr bool kVnni = true;
inline __m256i dpbusd(__m256i sum, __m256i a, __m256i b) {
  return _mm256_dpbusd_avx_epi32(sum, a, b);
}
#else
constexpr bool kVnni = false;
inline __m256i dpbusd(__m256i sum, __m256i, __m256i) { return sum; }
#endif

constexpr bool is_wide(Layout layout) { return code_bits(layout) == 8; }

inline __m256i broadcast4(const int8_t* p) {
  int32_t four;
  std::memcpy(&four, p, sizeof(four));
  return _mm256_set1_epi32(four);
}

inline __m256i load_bytes(const uint8_t* p) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
}
inline __m256 halves_to_floats(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
}

inline __m256 bytes_to_floats(const uint8_t* p) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}

// Pairs of 16-bit numbers to their 32-bit sums.
inline __m256i add_pairs(__m256i a) { return _mm256_madd_epi16(a, _mm256_set1_epi16(1)); }

// 32 bits, each as 16 or 0 in a byte of its own.
inline __m256i fifth_bits(const uint8_t* p) {
  int32_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  const __m256i place =
      _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i own = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
  const __m256i byte = _mm256_shuffle_epi8(_mm256_set1_epi32(bits), place);
  const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(byte, own), own);
  return _mm256_and_si256(set, _mm256_set1_epi8(16));
}

// Stored codes of 4 inputs for 8 outputs of each of the block's vectors: one half of the lanes.
template <Layout L>
inline void load_codes(const uint8_t* record, int j, int half, __m256i (&codes)[2]) {
  if constexpr (is_wide(L)) {
    codes[0] = load_bytes(record + 128 * j + 32 * half);
    codes[1] = load_bytes(record + 128 * j + 64 + 32 * half);
  } else {
    const __m256i both = load_bytes(record + 64 * j + 32 * half), low = _mm256_set1_epi8(15);
    codes[0] = _mm256_and_si256(both, low);
    codes[1] = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
    if constexpr (code_bits(L) == 5) {
      const uint8_t* fifth = record + kFifthBits + 16 * j + 4 * half;
      codes[0] = _mm256_or_si256(codes[0], fifth_bits(fifth));
      codes[1] = _mm256_or_si256(codes[1], fifth_bits(fifth + 8));
    }
  }
}

// Σ stored codes. Eight codes of 5 bits fit a byte, sixteen of 8 bits a 16-bit number.
template <Layout L>
inline __m256i add_codes(__m256i sum, __m256i codes) {
  const __m256i ones = _mm256_set1_epi8(1);
  if constexpr (!is_wide(L)) return _mm256_add_epi8(sum, codes);
  if constexpr (kVnni) return dpbusd(sum, codes, ones);
  return _mm256_add_epi16(sum, _mm256_maddubs_epi16(codes, ones));
}

template <Layout L>
inline __m256i code_sum(__m256i sum) {
  if constexpr (!is_wide(L)) return add_pairs(_mm256_maddubs_epi16(sum, _mm256_set1_epi8(1)));
  if constexpr (kVnni) return sum;
  return add_pairs(sum);
}

// Σ code·x. Without VNNI a product of 8-bit numbers is summed in 16 bits, where 16 products with
// codes of 4 bits have room, and two with codes of 5 bits, but not two with unsigned codes of 8
// bits. These go by their distance from 128, whose sign moves over to x.
constexpr int middle_of(Layout layout) { return is_wide(layout) && !kVnni ? 128 : 0; }

template <Layout L>
inline __m256i centred(__m256i codes) {
  if constexpr (middle_of(L)) return _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
  return codes;
}

template <Layout L>
inline __m256i add_products(__m256i sum, __m256i codes, __m256i x) {
  if constexpr (kVnni) return dpbusd(sum, codes, x);
  if constexpr (code_bits(L) == 4) return _mm256_add_epi16(sum, _mm256_maddubs_epi16(codes, x));
  if constexpr (code_bits(L) == 5) {
    return _mm256_add_epi32(sum, add_pairs(_mm256_maddubs_epi16(codes, x)));
  }
  const __m256i products = _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes));
  return _mm256_add_epi32(sum, add_pairs(products));
}

template <Layout L>
inline __m256i product_sum(__m256i sum) {
  if constexpr (kVnni || code_bits(L) != 4) return sum;
  return add_pairs(sum);
}

// R rows of one block, half of the lanes at a time, so that the sums stay in 16 registers. The
// integer products of a group are exact in any order; see the scalar kernel for the rest.
template <Layout L, int R>
void rows_of_block(const Matrix& matrix, int block, const Activations& in, int row, float* out,
                   int64_t stride) {
  const int groups = matrix.groups();
  const uint8_t* record = matrix.block(block);
  const uint8_t* head = nullptr;
  const int8_t* codes = in.codes + int64_t{row} * in.inputs;
  const ActivationGroup* x = in.groups + int64_t{row} * groups;
  // What makes codes unsigned is taken off where sums end.
  constexpr int offset = -code_offset(L);
  __m256 total[R][2][2];  // [row][half][vector]
  for (int r = 0; r < R; ++r) {
    for (int half = 0; half < 2; ++half)
      total[r][half][0] = total[r][half][1] = _mm256_setzero_ps();
  }

  for (int g = 0; g < groups; ++g, ++x, codes += kGroup, record += record_bytes(L)) {
    if (head_bytes(L) && g % kHeadGroups == 0) {
      head = record;
      record += head_bytes(L);
    }
    for (int line = 0; line < record_bytes(L); line += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(record + line + kAhead), _MM_HINT_T0);
    }
    const uint8_t* own = record + code_bytes(L);
    const auto* halves = reinterpret_cast<const uint16_t*>(has_head(L) ? head : own);
    // Unrolled further, these two loops would need more registers than there are.
#pragma GCC unroll 1
    for (int half = 0; half < 2; ++half) {
      __m256i dot[R][2], sums[2];
      sums[0] = sums[1] = _mm256_setzero_si256();
      for (int r = 0; r < R; ++r) dot[r][0] = dot[r][1] = _mm256_setzero_si256();
#pragma GCC unroll 1
      for (int j = 0; j < kGroup / 4; ++j) {
        __m256i stored[2];
        load_codes<L>(record, j, half, stored);
        sums[0] = add_codes<L>(sums[0], stored[0]);
        sums[1] = add_codes<L>(sums[1], stored[1]);
        const __m256i w0 = centred<L>(stored[0]), w1 = centred<L>(stored[1]);
        for (int r = 0; r < R; ++r) {
          const __m256i four = broadcast4(codes + int64_t{r} * in.inputs + 4 * j);
          dot[r][0] = add_products<L>(dot[r][0], w0, four);
          dot[r][1] = add_products<L>(dot[r][1], w1, four);
        }
      }
      for (int v = 0; v < 2; ++v) {
        const int place = kLanes * v + 8 * half;
        __m256 scale = halves_to_floats(halves + place);
        if constexpr (has_head(L)) scale = _mm256_mul_ps(scale, bytes_to_floats(own + place));
        const __m256i all_codes =
            _mm256_add_epi32(code_sum<L>(sums[v]), _mm256_set1_epi32(offset * kGroup));
        const __m256 sum = _mm256_cvtepi32_ps(all_codes);
        for (int r = 0; r < R; ++r) {
          const ActivationGroup& group = x[int64_t{r} * groups];
          __m256& t = total[r][half][v];
          if constexpr (has_minimum(L)) {
            __m256 minimum = halves_to_floats(halves + kBlock + place);
            if constexpr (has_head(L)) {
              minimum = _mm256_mul_ps(minimum, bytes_to_floats(own + kBlock + place));
            }
            t = _mm256_fmadd_ps(minimum, _mm256_set1_ps(group.sum), t);
          }
          __m256i products = product_sum<L>(dot[r][v]);
          if constexpr (offset + middle_of(L) != 0) {
            products = _mm256_add_epi32(
                products, _mm256_set1_epi32((offset + middle_of(L)) * group.code_sum));
          }
          const __m256 value =
              _mm256_fmadd_ps(_mm256_cvtepi32_ps(products), _mm256_set1_ps(group.scale),
                              _mm256_mul_ps(sum, _mm256_set1_ps(group.middle)));
          t = _mm256_fmadd_ps(value, scale, t);
        }
      }
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int half = 0; half < 2; ++half) {
      for (int v = 0; v < 2; ++v) {
        _mm256_storeu_ps(out + (row + r) * stride + kLanes * v + 8 * half, total[r][half][v]);
      }
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

// Four rows are what fits in registers; more rows share the block's weights from the first cache.
void matmul(const Matrix& matrix, int block, const Activations& in, int row, int rows, float* out,
            int64_t stride) {
  constexpr int most = 4;
  for (int parts = (rows + most - 1) / most; parts > 0; --parts) {
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
      default:
        rows_of_any<4>(matrix, block, in, row, out, stride);
    }
    row += here;
    rows -= here;
  }
}

}  // namespace avx2 or avxvnni

#ifdef __AVXVNNI__
const Kernels* avxvnni_kernels() {
  static const Kernels kernels = avxvnni::table("avx-vnni", avxvnni::matmul);
  return &kernels;
}
#else
const Kernels* avx2_kernels() {
  static const Kernels kernels = avx2::table("avx2", avx2::matmul);
  return &kernels;
}
#endif

}  // namespace outrider

#else

namespace outrider {
const Kernels* avx2_kernels() { return nullptr; }
}  // namespace outrider

#endif
