#include "model.hpp"

#include <cmath>
#include <set>

#include "error.hpp"
#include "loader.hpp"

namespace outrider {
namespace {

int whole(const Gguf& file, const std::string& key, uint64_t low, uint64_t high) {
  const uint64_t value = file.integer(key);
  if (value < low || value > high) {
    throw ModelFileError("The key '" + key + "' is " + std::to_string(value) +
                         "; it has to lie between " + std::to_string(low) + " and " +
                         std::to_string(high) + ".");
  }
  return static_cast<int>(value);
}

// Llama: SmolLM2, Llama 3, Mistral. The file of a family that rotates halves has queries and keys
// in their own order; llama's are reordered by the converter, so that halves became neighbours.
constexpr Family kFamilies[] = {
    {.name = "llama",
     .rotation = Rotation::Neighbours,
     .activation = Activation::Silu,
     .biases = false,
     .head_norms = false,
     .post_norms = false,
     .scaled_embedding = false,
     .rope_factors = true,
     .windows = false},
    {.name = "qwen2",
     .rotation = Rotation::Halves,
     .activation = Activation::Silu,
     .biases = true,
     .head_norms = false,
     .post_norms = false,
     .scaled_embedding = false,
     .rope_factors = false,
     .windows = false},
    {.name = "qwen3",
     .rotation = Rotation::Halves,
     .activation = Activation::Silu,
     .biases = false,
     .head_norms = true,
     .post_norms = false,
     .scaled_embedding = false,
     .rope_factors = false,
     .windows = false},
    {.name = "gemma3",
     .rotation = Rotation::Halves,
     .activation = Activation::Gelu,
     .biases = false,
     .head_norms = true,
     .post_norms = true,
     .scaled_embedding = true,
     .rope_factors = false,
     .windows = true},
};

// In families with windows the layers 5, 11, … attend to everything; the others rotate with this
// base.
constexpr int kGlobalEvery = 6;
constexpr double kWindowRopeBase = 10000.0;

const Family& find_family(const std::string& name) {
  std::string known;
  for (const Family& family : kFamilies) {
    if (name == family.name) return family;
    known += (known.empty() ? "'" : ", '") + std::string(family.name) + "'";
  }
  throw ModelFileError("The key 'general.architecture' is '" + name +
                       "', which is not supported; " + known + " are.");
}

// Keys that this engine honours or that change nothing in the arithmetic. Any other key could
// change what the model computes, so it is refused.
const std::set<std::string, std::less<>> kKnownKeys = {
    "block_count",          "context_length",         "embedding_length",
    "feed_forward_length",  "attention.head_count",   "attention.head_count_kv",
    "attention.key_length", "attention.value_length", "attention.layer_norm_rms_epsilon",
    "rope.freq_base",       "rope.dimension_count",   "rope.scaling.type",
    "vocab_size",           "tensor_data_layout"};

bool is_known_key(const Family& family, std::string_view key) {
  return kKnownKeys.contains(key) || (family.windows && key == "attention.sliding_window");
}

Hyperparameters read_hyperparameters(const Gguf& file) {
  Hyperparameters h;
  h.family = find_family(file.text("general.architecture"));
  const std::string prefix = std::string(h.family.name) + ".";
  for (const auto& [key, value] : file.metadata()) {
    if (key.starts_with(prefix) &&
        !is_known_key(h.family, std::string_view(key).substr(prefix.size()))) {
      throw ModelFileError("The key '" + key +
                           "' is not known to this engine and may change what the model computes.");
    }
  }
  if (file.has(prefix + "rope.scaling.type") && file.text(prefix + "rope.scaling.type") != "none") {
    throw ModelFileError("The key '" + prefix + "rope.scaling.type' is '" +
                         file.text(prefix + "rope.scaling.type") +
                         "', which is not supported; 'none' is.");
  }
  h.layers = whole(file, prefix + "block_count", 1, 1024);
  h.width = whole(file, prefix + "embedding_length", kGroup, 1 << 16);
  h.feed_forward = whole(file, prefix + "feed_forward_length", kGroup, 1 << 20);
  h.heads = whole(file, prefix + "attention.head_count", 1, 1024);
  h.kv_heads = file.has(prefix + "attention.head_count_kv")
                   ? whole(file, prefix + "attention.head_count_kv", 1, 1024)
                   : h.heads;
  if (h.heads % h.kv_heads) {
    throw ModelFileError("The key '" + prefix + "attention.head_count_kv' does not divide " +
                         std::to_string(h.heads) + " heads.");
  }
  if (!file.has(prefix + "attention.key_length") && h.width % h.heads) {
    throw ModelFileError("The key '" + prefix + "attention.head_count' does not divide the width " +
                         std::to_string(h.width) + ".");
  }
  h.head_dim = file.has(prefix + "attention.key_length")
                   ? whole(file, prefix + "attention.key_length", 1, 1024)
                   : h.width / h.heads;
  if (file.integer(prefix + "attention.value_length", h.head_dim) !=
      static_cast<uint64_t>(h.head_dim)) {
    throw ModelFileError("The key '" + prefix +
                         "attention.value_length' differs from the length of the keys.");
  }
  h.rotated = file.has(prefix + "rope.dimension_count")
                  ? whole(file, prefix + "rope.dimension_count", 2, 1024)
                  : h.head_dim;
  if (h.head_dim % kLanes || h.rotated % 2 || h.rotated > h.head_dim) {
    throw ModelFileError(
        "Heads of " + std::to_string(h.head_dim) + " dimensions, " + std::to_string(h.rotated) +
        " of them rotated, are not supported ('" + prefix +
        "attention.key_length', 'rope.dimension_count'): multiples of 16 and of 2 are.");
  }
  for (const auto& [key, n] : {std::pair{"embedding_length", h.width},
                               {"feed_forward_length", h.feed_forward},
                               {"attention.head_count", h.query_width()}}) {
    if (n % kGroup) {
      throw ModelFileError("The key '" + prefix + key + "' gives rows of " + std::to_string(n) +
                           "; multiples of 32 are supported.");
    }
  }
  h.context = static_cast<int64_t>(file.integer(prefix + "context_length"));
  if (h.context < 1 || h.context > (int64_t{1} << 24)) {
    throw ModelFileError("The key '" + prefix + "context_length' is " + std::to_string(h.context) +
                         ".");
  }
  h.epsilon = static_cast<float>(file.real(prefix + "attention.layer_norm_rms_epsilon"));
  h.rope_base = file.real(prefix + "rope.freq_base", 10000.0);
  h.window =
      h.family.windows ? whole(file, prefix + "attention.sliding_window", 1, 1 << 24) : kNoWindow;
  if (!(h.epsilon > 0 && h.epsilon < 1) || !(h.rope_base > 1) || !std::isfinite(h.rope_base)) {
    throw ModelFileError("The keys '" + prefix + "attention.layer_norm_rms_epsilon' and '" +
                         prefix + "rope.freq_base' have impossible values.");
  }
  return h;
}

// Radians a position for each rotated pair.
std::vector<double> rates(double base, int rotated) {
  std::vector<double> out(rotated / 2);
  for (int i = 0; i < rotated / 2; ++i) out[i] = std::pow(base, -2.0 * i / rotated);
  return out;
}

}  // namespace

Model::Model(const Gguf& file, bool as_float, int threads, const Progress& progress)
    : hyper(read_hyperparameters(file)) {
  Loader loader(file, as_float);
  const Tensor* tokens = file.find("token_embd.weight");
  if (!tokens || tokens->shape.size() != 2 || tokens->shape[1] > (1u << 24)) {
    throw ModelFileError("The file lacks the tensor 'token_embd.weight', or it is not a matrix.");
  }
  hyper.vocab = static_cast<int>(tokens->shape[1]);
  const std::string vocab_key = std::string(hyper.family.name) + ".vocab_size";
  if (file.integer(vocab_key, hyper.vocab) != static_cast<uint64_t>(hyper.vocab)) {
    throw ModelFileError("The key '" + vocab_key + "' differs from the " +
                         std::to_string(hyper.vocab) + " rows of tensor 'token_embd.weight'.");
  }
  loader.matrix("token_embd.weight", hyper.width, hyper.vocab, embedding);
  if (file.find("output.weight")) {
    loader.matrix("output.weight", hyper.width, hyper.vocab, output);
  }
  loader.vector("output_norm.weight", hyper.width, output_norm);
  layers.resize(hyper.layers);
  for (int i = 0; i < hyper.layers; ++i) {
    const std::string prefix = "blk." + std::to_string(i) + ".";
    Layer& layer = layers[i];
    const Family& family = hyper.family;
    loader.vector(prefix + "attn_norm.weight", hyper.width, layer.attention_norm);
    loader.matrix(prefix + "attn_q.weight", hyper.width, hyper.query_width(), layer.query);
    loader.matrix(prefix + "attn_k.weight", hyper.width, hyper.kv_width(), layer.key);
    loader.matrix(prefix + "attn_v.weight", hyper.width, hyper.kv_width(), layer.value);
    loader.matrix(prefix + "attn_output.weight", hyper.query_width(), hyper.width,
                  layer.attention_output);
    loader.vector(family.biases, prefix + "attn_q.bias", hyper.query_width(), layer.query_bias);
    loader.vector(family.biases, prefix + "attn_k.bias", hyper.kv_width(), layer.key_bias);
    loader.vector(family.biases, prefix + "attn_v.bias", hyper.kv_width(), layer.value_bias);
    loader.vector(family.head_norms, prefix + "attn_q_norm.weight", hyper.head_dim,
                  layer.query_norm);
    loader.vector(family.head_norms, prefix + "attn_k_norm.weight", hyper.head_dim, layer.key_norm);
    loader.vector(family.post_norms, prefix + "post_attention_norm.weight", hyper.width,
                  layer.post_attention_norm);
    loader.vector(prefix + "ffn_norm.weight", hyper.width, layer.feed_forward_norm);
    loader.matrix(prefix + "ffn_gate.weight", hyper.width, hyper.feed_forward, layer.gate);
    loader.matrix(prefix + "ffn_up.weight", hyper.width, hyper.feed_forward, layer.up);
    loader.matrix(prefix + "ffn_down.weight", hyper.feed_forward, hyper.width, layer.down);
    loader.vector(family.post_norms, prefix + "post_ffw_norm.weight", hyper.width,
                  layer.post_feed_forward_norm);
    if (family.windows && (i + 1) % kGlobalEvery) {
      layer.rope = 1;
      layer.window = hyper.window;
    }
  }
  rope_rates.push_back(rates(hyper.rope_base, hyper.rotated));
  if (hyper.family.windows) rope_rates.push_back(rates(kWindowRopeBase, hyper.rotated));
  if (hyper.family.rope_factors && file.find("rope_freqs.weight")) {
    const int pairs = hyper.rotated / 2;
    Buffer<float> factors;
    loader.vector("rope_freqs.weight", pairs, factors);
    for (int i = 0; i < pairs; ++i) {
      if (!(factors[i] > 0))
        throw ModelFileError("Tensor 'rope_freqs.weight' has a factor that is not positive.");
      rope_rates[0][i] /= factors[i];
    }
  }
  loader.finish(threads, progress, weights);
  weight_bytes = loader.weight_bytes();
  layer_bytes = weight_bytes - embedding.bytes() - (output.inputs ? output.bytes() : 0);
  repacked = loader.repacked();
  // An embedding that is not also the output layer is looked up, not streamed.
  file_bytes = loader.file_bytes() - (output.inputs ? tokens->bytes.size() : 0);
}

void Model::embed(int token, float* out) const {
  const float scale =
      hyper.family.scaled_embedding ? std::sqrt(static_cast<float>(hyper.width)) : 1.0f;
  for (int i = 0; i < hyper.width; ++i) out[i] = embedding.weight(token, i) * scale;
}

}  // namespace outrider
