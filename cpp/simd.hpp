// Sixteen floats at a time, spelt for one instruction set. A translation unit includes this inside
// its own namespace after choosing the set by its compiler flags; every operation is correctly
// rounded on its own, so all spellings give the same bytes.

// The sum of the lanes is taken in a fixed order: halves, quarters, eighths, pairs.
#if defined(__AVX2__) && !defined(OUTRIDER_PORTABLE)
inline float sum_of_eight(__m256 a) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
#endif

#if defined(__AVX512F__) && !defined(OUTRIDER_PORTABLE)

using V = __m512;
using Mask = __mmask16;

// How many queries the loops of attention take at once, and for each of them how many vectors
// beside one another: their sums stay in registers.
constexpr int kQueries = 6, kAbreast = 4;

inline V load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, V a) { _mm512_storeu_ps(p, a); }
inline V all(float x) { return _mm512_set1_ps(x); }
inline V add(V a, V b) { return _mm512_add_ps(a, b); }
inline V sub(V a, V b) { return _mm512_sub_ps(a, b); }
inline V mul(V a, V b) { return _mm512_mul_ps(a, b); }
inline V div(V a, V b) { return _mm512_div_ps(a, b); }
inline V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
// The second operand where either is not a number.
inline V max(V a, V b) { return _mm512_max_ps(a, b); }
inline V min(V a, V b) { return _mm512_min_ps(a, b); }
// To the nearest whole number, ties to even.
inline V round(V a) {
  return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline V from_half(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline void to_half(uint16_t* p, V a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}
inline Mask first(int count) { return static_cast<Mask>(count >= 16 ? 0xffff : (1u << count) - 1); }
inline V select(Mask m, V yes, V no) { return _mm512_mask_blend_ps(m, no, yes); }
inline Mask below(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
// 2ⁿ for whole n within the range of normal floats.
inline V power_of_two(V n) {
  const __m512i i = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
  return _mm512_castsi512_ps(_mm512_slli_epi32(i, 23));
}
inline float greatest(V a) { return _mm512_reduce_max_ps(a); }
inline float least(V a) { return _mm512_reduce_min_ps(a); }
inline bool any_nan(V a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q) != 0; }
inline float sum(V a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  return sum_of_eight(eight);
}
// Whole numbers of at most 8 bits, as bytes; returns their sum.
inline int32_t to_codes(int8_t* p, V a) {
  const __m512i i = _mm512_cvtps_epi32(a);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(i));
  return _mm512_reduce_add_epi32(i);
}

#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__) && !defined(OUTRIDER_PORTABLE)

struct V {
  __m256 low, high;
};
using Mask = V;  // all bits of a lane, or none

constexpr int kQueries = 4, kAbreast = 1;

inline V load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float* p, V a) {
  _mm256_storeu_ps(p, a.low);
  _mm256_storeu_ps(p + 8, a.high);
}
inline V all(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline V add(V a, V b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
inline V sub(V a, V b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
inline V mul(V a, V b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
inline V div(V a, V b) { return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
inline V fma(V a, V b, V c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
inline V max(V a, V b) { return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
inline V min(V a, V b) { return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)}; }
inline V round(V a) {
  constexpr int mode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(a.low, mode), _mm256_round_ps(a.high, mode)};
}
inline V from_half(const uint16_t* p) {
  const auto* halves = reinterpret_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(halves)), _mm256_cvtph_ps(_mm_loadu_si128(halves + 1))};
}
inline void to_half(uint16_t* p, V a) {
  auto* halves = reinterpret_cast<__m128i*>(p);
  _mm_storeu_si128(halves, _mm256_cvtps_ph(a.low, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128(halves + 1, _mm256_cvtps_ph(a.high, _MM_FROUND_TO_NEAREST_INT));
}
inline V select(Mask m, V yes, V no) {
  return {_mm256_blendv_ps(no.low, yes.low, m.low), _mm256_blendv_ps(no.high, yes.high, m.high)};
}
inline Mask below(V a, V b) {
  return {_mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ), _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ)};
}
inline Mask first(int count) {
  const __m256 lane = _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7);
  return below({lane, _mm256_add_ps(lane, _mm256_set1_ps(8))}, all(static_cast<float>(count)));
}
inline __m256 power_of_two(__m256 n) {
  const __m256i i = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(i, 23));
}
inline V power_of_two(V n) { return {power_of_two(n.low), power_of_two(n.high)}; }
inline float greatest(V a) {
  const __m256 eight = _mm256_max_ps(a.low, a.high);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
inline float least(V a) {
  const __m256 eight = _mm256_min_ps(a.low, a.high);
  const __m128 four = _mm_min_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_min_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_min_ss(two, _mm_movehdup_ps(two)));
}
inline bool any_nan(V a) {
  const __m256 low = _mm256_cmp_ps(a.low, a.low, _CMP_UNORD_Q);
  return _mm256_movemask_ps(_mm256_or_ps(low, _mm256_cmp_ps(a.high, a.high, _CMP_UNORD_Q))) != 0;
}
inline float sum(V a) { return sum_of_eight(_mm256_add_ps(a.low, a.high)); }
inline int32_t to_codes(int8_t* p, V a) {
  const __m256i low = _mm256_cvtps_epi32(a.low), high = _mm256_cvtps_epi32(a.high);
  // Packing works within the halves of a register; the middle quarters change places again.
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0b11011000);
  const __m128i words = _mm256_castsi256_si128(packed), rest = _mm256_extracti128_si256(packed, 1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(words, rest));
  const __m128i pairs = _mm_madd_epi16(_mm_add_epi16(words, rest), _mm_set1_epi16(1));
  const __m128i two = _mm_add_epi32(pairs, _mm_unpackhi_epi64(pairs, pairs));
  return _mm_cvtsi128_si32(two) + _mm_extract_epi32(two, 1);
}

#else

struct V {
  float lane[16];
};
using Mask = uint32_t;

constexpr int kQueries = 4, kAbreast = 1;

template <typename F>
inline V each(F f) {
  V out;
  for (int i = 0; i < 16; ++i) out.lane[i] = f(i);
  return out;
}

inline V load(const float* p) {
  return each([&](int i) { return p[i]; });
}
inline void store(float* p, V a) { std::memcpy(p, a.lane, sizeof(a.lane)); }
inline V all(float x) {
  return each([&](int) { return x; });
}
inline V add(V a, V b) {
  return each([&](int i) { return a.lane[i] + b.lane[i]; });
}
inline V sub(V a, V b) {
  return each([&](int i) { return a.lane[i] - b.lane[i]; });
}
inline V mul(V a, V b) {
  return each([&](int i) { return a.lane[i] * b.lane[i]; });
}
inline V div(V a, V b) {
  return each([&](int i) { return a.lane[i] / b.lane[i]; });
}
inline V fma(V a, V b, V c) {
  return each([&](int i) { return std::fma(a.lane[i], b.lane[i], c.lane[i]); });
}
inline V max(V a, V b) {
  return each([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline V min(V a, V b) {
  return each([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline V round(V a) {
  return each([&](int i) { return std::nearbyint(a.lane[i]); });
}
inline V from_half(const uint16_t* p) {
  return each([&](int i) { return half_to_float(p[i]); });
}
inline void to_half(uint16_t* p, V a) {
  for (int i = 0; i < 16; ++i) p[i] = float_to_half(a.lane[i]);
}
inline Mask first(int count) { return count >= 16 ? 0xffffu : (1u << count) - 1; }
inline V select(Mask m, V yes, V no) {
  return each([&](int i) { return m >> i & 1 ? yes.lane[i] : no.lane[i]; });
}
inline Mask below(V a, V b) {
  Mask m = 0;
  for (int i = 0; i < 16; ++i) m |= static_cast<Mask>(a.lane[i] < b.lane[i]) << i;
  return m;
}
inline V power_of_two(V n) {
  // The result for what is not a number does not matter, but the conversion would be undefined.
  return each([&](int i) {
    const float whole = n.lane[i] == n.lane[i] ? n.lane[i] : 0.0f;
    return std::bit_cast<float>((static_cast<int32_t>(whole) + 127) << 23);
  });
}
inline float greatest(V a) {
  float top = a.lane[0];
  for (float x : a.lane) top = x > top ? x : top;
  return top;
}
inline float least(V a) {
  float bottom = a.lane[0];
  for (float x : a.lane) bottom = x < bottom ? x : bottom;
  return bottom;
}
inline bool any_nan(V a) {
  for (float x : a.lane) {
    if (x != x) return true;
  }
  return false;
}
inline float sum(V a) {
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) a.lane[i] = a.lane[i] + a.lane[i + half];
  }
  return a.lane[0];
}
inline int32_t to_codes(int8_t* p, V a) {
  int32_t sum = 0;
  for (int i = 0; i < 16; ++i) {
    p[i] = static_cast<int8_t>(a.lane[i]);
    sum += p[i];
  }
  return sum;
}

#endif

// eˣ: reduced by whole powers of two, then a polynomial of degree 6 on |r| ≤ ln 2 / 2; the error is
// about one unit in the last place. Below −87.3 it is 0, above 88 it stays at e⁸⁸; what is not a
// number stays so.
inline V exp(V x) {
  const V small = all(-87.3f);
  const V clamped = max(small, min(all(88.0f), x));
  const V n = round(mul(clamped, all(1.44269504f)));
  V r = fma(n, all(-0.693145752f), clamped);  // ln 2 in two parts, the first exact in few bits
  r = fma(n, all(-1.42860677e-6f), r);
  V p = all(1.38888889e-3f);
  p = fma(p, r, all(8.33333333e-3f));
  p = fma(p, r, all(4.16666667e-2f));
  p = fma(p, r, all(1.66666667e-1f));
  p = fma(p, r, all(0.5f));
  p = fma(p, r, all(1.0f));
  p = fma(p, r, all(1.0f));
  const V result = mul(p, power_of_two(n));
  return select(below(x, small), all(0.0f), result);
}
