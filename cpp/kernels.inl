// The parts of a pass that are the same text for every instruction set, written on V of simd.hpp.
// Included inside the namespace of each kernels_*.cpp.

void rms_norm(const float* x, const float* weight, int n, float epsilon, float* y) {
  V squares = all(0);
  for (int i = 0; i < n; i += kLanes) squares = fma(load(x + i), load(x + i), squares);
  const float mean = sum(squares) / static_cast<float>(n);
  const V factor = all(1.0f / std::sqrt(mean + epsilon));
  for (int i = 0; i < n; i += kLanes) store(y + i, mul(mul(load(x + i), factor), load(weight + i)));
}

// A group that spreads less than this counts as constant: the inverse of its scale would overflow.
constexpr float kTiny = 1e-30f;

void quantize(const float* x, int n, int8_t* codes, ActivationGroup* groups) {
  for (int g = 0; g < n / kGroup; ++g, x += kGroup, codes += kGroup, ++groups) {
    const V a = load(x), b = load(x + kLanes);
    const float high = greatest(max(a, b)), low = least(min(a, b));
    const float middle = 0.5f * high + 0.5f * low;
    // The middle is rounded, so its sides differ; codes have to reach the farther one.
    const float above = high - middle, beneath = middle - low;
    const float half = above > beneath ? above : beneath;
    // x − x is 0 for every finite x and not a number for the others.
    const bool finite = !any_nan(add(sub(a, a), sub(b, b)));
    if (!finite || half < kTiny) {
      std::memset(codes, 0, kGroup);
      const float scale = finite ? 0.0f : std::numeric_limits<float>::quiet_NaN();
      *groups = {scale, finite ? middle : 0.0f, finite ? kGroup * middle : scale, 0};
      continue;
    }
    const V inverse = all(127.0f / half), centre = all(middle);
    const float scale = half / 127.0f;
    const int32_t code_sum = to_codes(codes, round(mul(sub(a, centre), inverse))) +
                             to_codes(codes + kLanes, round(mul(sub(b, centre), inverse)));
    *groups = {scale, middle, std::fma(scale, static_cast<float>(code_sum), kGroup * middle),
               code_sum};
  }
}

void add_rows(float* x, const float* y, int n) {
  for (int i = 0; i < n; i += kLanes) store(x + i, add(load(x + i), load(y + i)));
}

void silu_mul(const float* gate, const float* up, int n, float* y) {
  for (int i = 0; i < n; i += kLanes) {
    const V g = load(gate + i);
    const V sigmoid = div(all(1.0f), add(all(1.0f), exp(sub(all(0.0f), g))));
    store(y + i, mul(mul(g, sigmoid), load(up + i)));
  }
}

void gelu_mul(const float* gate, const float* up, int n, float* y) {
  const V minus_twice_root = all(-1.59576912f), cubic = all(0.044715f);  // −2·√(2/π)
  for (int i = 0; i < n; i += kLanes) {
    const V g = load(gate + i);
    const V inner = fma(mul(mul(g, g), g), cubic, g);
    const V sigmoid = div(all(1.0f), add(all(1.0f), exp(mul(minus_twice_root, inner))));
    store(y + i, mul(mul(g, sigmoid), load(up + i)));
  }
}

// Turn each pair of numbers, `step` apart, of every head; pairs stand `stride` apart.
inline void rotate_pairs(float* x, int heads, int head_dim, int pairs, int stride, int step,
                         const float* cos, const float* sin) {
  for (int h = 0; h < heads; ++h, x += head_dim) {
    for (int i = 0; i < pairs; ++i) {
      const float a = x[stride * i], b = x[stride * i + step];
      x[stride * i] = std::fma(a, cos[i], -(b * sin[i]));
      x[stride * i + step] = std::fma(a, sin[i], b * cos[i]);
    }
  }
}

void rope(float* x, int heads, int head_dim, int rotated, const float* cos, const float* sin) {
  rotate_pairs(x, heads, head_dim, rotated / 2, 2, 1, cos, sin);
}

void rope_halves(float* x, int heads, int head_dim, int rotated, const float* cos,
                 const float* sin) {
  rotate_pairs(x, heads, head_dim, rotated / 2, 1, rotated / 2, cos, sin);
}

void halve(const float* x, int n, uint16_t* y) {
  for (int i = 0; i < n; i += kLanes) to_half(y + i, load(x + i));
}

// f<layout>(), the layout known to the compiler.
template <typename F>
void with_layout(Layout layout, const F& f) {
  switch (layout) {
    case Layout::U4:
      return f.template operator()<Layout::U4>();
    case Layout::U4M:
      return f.template operator()<Layout::U4M>();
    case Layout::U4K:
      return f.template operator()<Layout::U4K>();
    case Layout::U5:
      return f.template operator()<Layout::U5>();
    case Layout::U5M:
      return f.template operator()<Layout::U5M>();
    case Layout::U5K:
      return f.template operator()<Layout::U5K>();
    case Layout::I8:
      return f.template operator()<Layout::I8>();
    case Layout::F32:
      return f.template operator()<Layout::F32>();
  }
}

// R rows of one block of a matrix of floats; inputs ascend.
template <int R>
void rows_of_float_block(const Matrix& matrix, int block, const Activations& in, int row,
                         float* out, int64_t stride) {
  const auto* weights = reinterpret_cast<const float*>(matrix.record(block, 0));
  const float* x = in.floats + int64_t{row} * in.inputs;
  V total[R][2];
  for (int r = 0; r < R; ++r) total[r][0] = total[r][1] = all(0);
  for (int i = 0; i < in.inputs; ++i, weights += kBlock) {
    const V w0 = load(weights), w1 = load(weights + kLanes);
    for (int r = 0; r < R; ++r) {
      const V xi = all(x[int64_t{r} * in.inputs + i]);
      total[r][0] = fma(w0, xi, total[r][0]);
      total[r][1] = fma(w1, xi, total[r][1]);
    }
  }
  for (int r = 0; r < R; ++r) {
    store(out + (row + r) * stride, total[r][0]);
    store(out + (row + r) * stride + kLanes, total[r][1]);
  }
}

// Q queries against T tiles: each score is one chain of fused multiply-adds over d.
template <int Q, int T>
void score_tiles(const float* const* queries, const uint16_t* const* tiles, int head_dim,
                 float scale, float* scores, int64_t stride) {
  V dot[Q][T];
  for (int q = 0; q < Q; ++q) {
    for (int t = 0; t < T; ++t) dot[q][t] = all(0);
  }
  for (int d = 0; d < head_dim; ++d) {
    V keys[T];
    for (int t = 0; t < T; ++t) keys[t] = from_half(tiles[t] + kTile * d);
    for (int q = 0; q < Q; ++q) {
      const V x = all(queries[q][d]);
      for (int t = 0; t < T; ++t) dot[q][t] = fma(x, keys[t], dot[q][t]);
    }
  }
  for (int q = 0; q < Q; ++q) {
    for (int t = 0; t < T; ++t) store(scores + q * stride + t * kTile, mul(dot[q][t], all(scale)));
  }
}

template <int Q>
void score_queries(const float* const* queries, const uint16_t* const* tiles, int n_tiles,
                   int head_dim, float scale, float* scores, int64_t stride) {
  constexpr int T = kAbreast;
  int t = 0;
  for (; t + T <= n_tiles; t += T) {
    score_tiles<Q, T>(queries, tiles + t, head_dim, scale, scores + t * kTile, stride);
  }
  for (; t < n_tiles; ++t) {
    score_tiles<Q, 1>(queries, tiles + t, head_dim, scale, scores + t * kTile, stride);
  }
}

// Call f<Q>(first) for parts of n queries that are as equal as can be, of at most kQueries each.
template <typename F>
void in_parts(int n, const F& f) {
  for (int parts = (n + kQueries - 1) / kQueries, first = 0; parts > 0; --parts) {
    const int here = (n - first + parts - 1) / parts;
    [&]<int... Q>(std::integer_sequence<int, Q...>) {
      static_cast<void>(((here == Q + 1 && (f.template operator()<Q + 1>(first), true)) || ...));
    }(std::make_integer_sequence<int, kQueries>());
    first += here;
  }
}

void scores(const float* const* queries, int n_queries, const uint16_t* const* tiles, int n_tiles,
            int head_dim, float scale, float* out, int64_t stride) {
  in_parts(n_queries, [&]<int Q>(int q) {
    score_queries<Q>(queries + q, tiles, n_tiles, head_dim, scale, out + q * stride, stride);
  });
}

Softmax softmax(float* scores, int valid) {
  const int tiles = (valid + kTile - 1) / kTile;
  const V lowest = all(-std::numeric_limits<float>::infinity());
  V top = lowest;
  for (int t = 0; t < tiles; ++t) {
    top = max(select(first(valid - t * kTile), load(scores + t * kTile), lowest), top);
  }
  Softmax result{greatest(top), 0};
  V total = all(0);
  for (int t = 0; t < tiles; ++t) {
    float* s = scores + t * kTile;
    const V weight =
        select(first(valid - t * kTile), exp(sub(load(s), all(result.peak))), all(0.0f));
    store(s, weight);
    total = add(total, weight);
  }
  result.sum = sum(total);
  return result;
}

// Q queries, a slice of N·16 dimensions; one chain over positions for each.
template <int Q, int N>
void accumulate_slice(const float* const* weights, const uint16_t* const* values, int from, int to,
                      int d, float* const* out) {
  V acc[Q][N];
  for (int q = 0; q < Q; ++q) {
    for (int n = 0; n < N; ++n) acc[q][n] = load(out[q] + d + n * kLanes);
  }
  for (int j = from; j < to; ++j) {
    V value[N];
    for (int n = 0; n < N; ++n) value[n] = from_half(values[j] + d + n * kLanes);
    for (int q = 0; q < Q; ++q) {
      const V w = all(weights[q][j]);
      for (int n = 0; n < N; ++n) acc[q][n] = fma(w, value[n], acc[q][n]);
    }
  }
  for (int q = 0; q < Q; ++q) {
    for (int n = 0; n < N; ++n) store(out[q] + d + n * kLanes, acc[q][n]);
  }
}

template <int Q>
void accumulate_queries(const float* const* weights, const uint16_t* const* values, int from,
                        int to, int head_dim, float* const* out) {
  constexpr int N = kAbreast;
  int d = 0;
  for (; d + N * kLanes <= head_dim; d += N * kLanes) {
    accumulate_slice<Q, N>(weights, values, from, to, d, out);
  }
  for (; d < head_dim; d += kLanes) accumulate_slice<Q, 1>(weights, values, from, to, d, out);
}

void accumulate(const float* const* weights, int n_queries, const uint16_t* const* values, int from,
                int to, int head_dim, float* const* out) {
  in_parts(n_queries, [&]<int Q>(int q) {
    accumulate_queries<Q>(weights + q, values, from, to, head_dim, out + q);
  });
}

void merge(Softmax& into, float* out, const Softmax& part, const float* part_out, int head_dim) {
  const float top = into.peak > part.peak ? into.peak : part.peak;
  float earlier[kLanes], later[kLanes];
  store(earlier, exp(all(into.peak - top)));
  store(later, exp(all(part.peak - top)));
  const V a = all(earlier[0]), b = all(later[0]);
  into.sum = std::fma(into.sum, earlier[0], part.sum * later[0]);
  into.peak = top;
  for (int d = 0; d < head_dim; d += kLanes) {
    store(out + d, fma(load(out + d), a, mul(load(part_out + d), b)));
  }
}

void normalize(const Softmax& softmax, float* out, int head_dim) {
  const V inverse = all(1.0f / softmax.sum);
  for (int d = 0; d < head_dim; d += kLanes) store(out + d, mul(load(out + d), inverse));
}

Kernels table(const char* name, decltype(Kernels::matmul) matmul) {
  return {name,        matmul, rms_norm, quantize, add_rows,   silu_mul, gelu_mul, rope,
          rope_halves, halve,  scores,   softmax,  accumulate, merge,    normalize};
}
