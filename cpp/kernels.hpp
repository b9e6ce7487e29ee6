// The arithmetic of a pass, one table of functions for each instruction set.
//
// Every function treats a row by itself and in one fixed order of operations, so that all tables
// give the same bytes, whatever the number of rows. `scalar` is the reference: its matrix product
// reads the weights through Matrix's accessors.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "matrix.hpp"

namespace outrider {

constexpr int kTile = 16;    // positions in one block of the key-value cache
constexpr int kChunk = 256;  // positions whose attention is summed up before they are merged

// What is known of one query's attention over a part of its context: the largest score, the sum of
// exp(score − peak), and the values weighted by these (in the caller's memory).
struct Softmax {
  float peak;
  float sum;
};

struct Kernels {
  const char* name;

  // out[r][o] for the 32 outputs o of one block and rows [row, row + rows); `out` is the place of
  // the block's first output in row 0 of the batch.
  void (*matmul)(const Matrix& matrix, int block, const Activations& in, int row, int rows,
                 float* out, int64_t stride);

  // y = x / sqrt(mean(x²) + epsilon) · weight
  void (*rms_norm)(const float* x, const float* weight, int n, float epsilon, float* y);
  // Groups of 32: middle = (max + min) / 2, scale = (max − min) / 254, code = round((x − middle) /
  // scale). A group that is not finite gets the scale not-a-number, so that its row alone is
  // spoilt.
  void (*quantize)(const float* x, int n, int8_t* codes, ActivationGroup* groups);
  void (*add)(float* x, const float* y, int n);
  // y = gate / (1 + exp(−gate)) · up
  void (*silu_mul)(const float* gate, const float* up, int n, float* y);
  // y = gate / (1 + exp(−2·√(2/π)·(gate + 0.044715·gate³))) · up, the GELU in its tanh form
  void (*gelu_mul)(const float* gate, const float* up, int n, float* y);
  // Rotate neighbours (2i, 2i + 1) of each head by the angle i; the rest of a head stays.
  void (*rope)(float* x, int heads, int head_dim, int rotated, const float* cos, const float* sin);
  // The same of (i, i + rotated / 2).
  void (*rope_halves)(float* x, int heads, int head_dim, int rotated, const float* cos,
                      const float* sin);
  void (*to_half)(const float* x, int n, uint16_t* y);

  // scores[q·stride + lane] = scale · Σ_d query[q][d] · keys[d][lane], for the 16 keys of each
  // tile.
  void (*scores)(const float* const* queries, int n_queries, const uint16_t* const* tiles,
                 int n_tiles, int head_dim, float scale, float* scores, int64_t stride);
  // Replace the first `valid` scores by exp(score − peak) and the rest, up to the next multiple of
  // 16, by zero.
  Softmax (*softmax)(float* scores, int valid);
  // out[q] = Σ_j weights[q][j] · values[j], j ascending from `from` to `to`, added to what is
  // there.
  void (*accumulate)(const float* const* weights, int n_queries, const uint16_t* const* values,
                     int from, int to, int head_dim, float* const* out);
  // Merge a later part into `into`; the first part is taken as it is by the caller.
  void (*merge)(Softmax& into, float* out, const Softmax& part, const float* part_out,
                int head_dim);
  void (*normalize)(const Softmax& softmax, float* out, int head_dim);
};

const Kernels& scalar_kernels();
const Kernels& portable_kernels();
// Null where they were not compiled.
const Kernels* avx2_kernels();
const Kernels* avxvnni_kernels();
const Kernels* avx512_kernels();

// The kernels this machine can run, the best first.
std::vector<const Kernels*> available_kernels();
// By name, or the best; throws UsageError for a name that this machine cannot run.
const Kernels& choose_kernels(const std::string& name);

}  // namespace outrider
