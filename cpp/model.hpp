// A model's hyperparameters and weights, checked against each other and repacked for the kernels.
#pragma once

#include <limits>
#include <map>
#include <string>
#include <vector>

#include "gguf.hpp"
#include "loader.hpp"
#include "matrix.hpp"

namespace outrider {

enum class Rotation { Neighbours, Halves };
enum class Activation { Silu, Gelu };

// What sets a family of models apart from the others. The pass reads these and never a name.
struct Family {
  const char* name;
  Rotation rotation;      // which dimensions of a head RoPE turns together
  Activation activation;  // of the feed-forward gate
  bool biases;            // queries, keys and values have them
  bool head_norms;        // each head of queries and keys is normalised before it is rotated
  bool post_norms;        // what attention and feed-forward find is normalised before it is added
  bool scaled_embedding;  // the embedding is multiplied by the square root of the width
  bool rope_factors;      // the file may divide RoPE's rates
  bool windows;           // only every sixth layer attends to everything, with the file's RoPE base
};

struct Hyperparameters {
  Family family;
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
  int64_t window;  // positions that a layer with a window attends to, the row's own included

  int query_width() const { return heads * head_dim; }
  int kv_width() const { return kv_heads * head_dim; }
};

constexpr int64_t kNoWindow = std::numeric_limits<int64_t>::max();

// Buffers of what the family does not have are empty.
struct Layer {
  Buffer<float> attention_norm;
  Matrix query, key, value, attention_output;
  Buffer<float> query_bias, key_bias, value_bias;
  Buffer<float> query_norm, key_norm;
  Buffer<float> post_attention_norm;
  Buffer<float> feed_forward_norm;
  Matrix gate, up, down;
  Buffer<float> post_feed_forward_norm;
  int rope = 0;  // which of the model's rotations
  int64_t window = kNoWindow;
};

struct Model {
  // Throws ModelFileError for what is missing, inconsistent or not supported.
  Model(const Gguf& file, bool as_float, int threads, const Progress& progress = {});

  // Row `token` of the embedding, as the first layer takes it.
  void embed(int token, float* out) const;
  const Matrix& head() const { return output.inputs ? output : embedding; }

  Hyperparameters hyper;
  Buffer<uint8_t> weights;  // of all matrices
  Matrix embedding;
  std::vector<Layer> layers;
  Buffer<float> output_norm;
  Matrix output;  // empty where the embedding serves as output layer
  // For each kind of rotation, radians a position, one for each rotated pair.
  std::vector<std::vector<double>> rope_rates;

  size_t weight_bytes = 0;  // as repacked
  size_t layer_bytes = 0;   // of these, what the layers' matrices take
  size_t file_bytes = 0;    // of the tensors a pass reads, as the file has them
  // How many matrices of each kind in the file became which layout: "Q4_1 → 4-bit with minimum".
  std::map<std::string, int> repacked;
};

}  // namespace outrider
