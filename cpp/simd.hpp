// Sixteen floats at a time, spelt for one instruction set. A translation unit includes this inside
// its own namespace after choosing the set by its compiler flags; every operation is correctly
// rounded on its own, so all spellings give the same bytes.

#if defined(__AVX512F__) && !defined(OUTRIDER_PORTABLE)

using V = __m512;
using Mask = __mmask16;

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
// Whole numbers of at most 8 bits, as bytes; returns their sum.
inline int32_t to_codes(int8_t* p, V a) {
  const __m512i i = _mm512_cvtps_epi32(a);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(i));
  return _mm512_reduce_add_epi32(i);
}

#else

struct V {
  float lane[16];
};
using Mask = uint32_t;

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
inline int32_t to_codes(int8_t* p, V a) {
  int32_t sum = 0;
  for (int i = 0; i < 16; ++i) {
    p[i] = static_cast<int8_t>(a.lane[i]);
    sum += p[i];
  }
  return sum;
}

#endif

// The sum of the lanes in a fixed order: halves, quarters, eighths, pairs.
inline float sum(V a) {
  float lane[16];
  store(lane, a);
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lane[i] = lane[i] + lane[i + half];
  }
  return lane[0];
}

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
