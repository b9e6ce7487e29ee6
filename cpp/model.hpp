// A model's hyperparameters and weights, checked against each other and repacked for the kernels.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "gguf.hpp"
#include "matrix.hpp"

namespace outrider {

struct Hyperparameters {
  std::string architecture;
  int layers;
  int width;
  int feed_forward;
  int heads;
  int kv_heads;
  int head_dim;
  int rotated;  // dimensions of a head that RoPE turns
  int vocab;
  int64_t context;
  float epsilon;
  double rope_base;

  int query_width() const { return heads * head_dim; }
  int kv_width() const { return kv_heads * head_dim; }
};

struct Layer {
  Buffer<float> attention_norm;
  Matrix query, key, value, attention_output;
  Buffer<float> feed_forward_norm;
  Matrix gate, up, down;
};

struct Model {
  // Throws ModelFileError for what is missing, inconsistent or not supported.
  Model(const Gguf& file, bool as_float, int threads);

  // Row `token` of the embedding.
  void embed(int token, float* out) const;
  const Matrix& head() const { return output.inputs ? output : embedding; }

  Hyperparameters hyper;
  Matrix embedding;
  std::vector<Layer> layers;
  Buffer<float> output_norm;
  Matrix output;                   // empty where the embedding serves as output layer
  std::vector<double> rope_rates;  // radians a position, one for each rotated pair

  size_t weight_bytes = 0;  // as repacked
  size_t file_bytes = 0;    // of the tensors a pass reads, as the file has them
  // How many matrices of each kind in the file became which layout: "Q4_1 → 4-bit with minimum".
  std::map<std::string, int> repacked;
};

}  // namespace outrider
