#include "engine.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "error.hpp"
#include "half.hpp"

namespace outrider {
namespace {

constexpr int kTileQueries = 24;  // queries that share the keys and values they read
constexpr int kSegment = 512;     // columns of one piece of element-wise work

int64_t padded(int64_t n) { return (n + kBlock - 1) / kBlock * kBlock; }

std::string row_text(int64_t row) { return "Row " + std::to_string(row); }

}  // namespace

Engine::Engine(const Gguf& file, const EngineOptions& options)
    : model_(file, options.as_float, options.threads, options.progress),
      kernels_(choose_kernels(options.kernel)),
      context_(options.context ? options.context : model_.hyper.context),
      max_rows_(options.max_rows),
      cache_({model_.hyper.layers, model_.hyper.kv_heads, model_.hyper.head_dim},
             options.cache_bytes),
      pool_(options.threads),
      scratch_tiles_((options.max_rows + kTile - 1) / kTile),
      scratch_(cache_.shape().block_bytes() / 2 * scratch_tiles_),
      workspaces_(options.threads) {
  if (context_ > model_.hyper.context) {
    throw UsageError("A context of " + std::to_string(context_) + " tokens is more than the " +
                     std::to_string(model_.hyper.context) + " this model was trained for.");
  }
}

CachedSequence& Engine::open(std::span<const int32_t> tokens, int64_t capacity, bool share) {
  if (capacity > context_) {
    throw CapacityError("A sequence of " + std::to_string(capacity) +
                            " tokens does not fit the context of " + std::to_string(context_) +
                            "; shorten the prompt or lower --max-tokens.",
                        true);
  }
  if (capacity < static_cast<int64_t>(tokens.size())) {
    throw UsageError("A capacity of " + std::to_string(capacity) + " tokens is less than the " +
                     std::to_string(tokens.size()) + " that the sequence begins with.");
  }
  return cache_.open(tokens, capacity, share);
}

CachedSequence& Engine::fork(int64_t id, int64_t capacity) {
  const CachedSequence& parent = cache_.find(id);
  if (capacity > context_) {
    throw CapacityError("A sequence of " + std::to_string(capacity) +
                            " tokens does not fit the context of " + std::to_string(context_) + ".",
                        true);
  }
  if (capacity < parent.length) {
    throw UsageError("A capacity of " + std::to_string(capacity) + " tokens is less than the " +
                     std::to_string(parent.length) + " that the sequence already has.");
  }
  return cache_.fork(parent, capacity);
}

Logits Engine::logits(int row) const {
  if (row < 0 || row >= static_cast<int>(outcome_.logit_row.size()) ||
      outcome_.logit_row[row] < 0) {
    throw UsageError(row_text(row) + " of this pass has no logits; set want_logits.");
  }
  const int vocab = model_.hyper.vocab, place = outcome_.logit_row[row];
  return {outcome_.logits.data() + padded(vocab) * place,
          outcome_.maxima.data() + maxima_size(vocab) * place};
}

int64_t Engine::history_bytes(int64_t length) const {
  const int64_t position_bytes =
      static_cast<int64_t>(cache_.shape().block_bytes()) / kTile / model_.hyper.layers;
  int64_t bytes = 0;
  // Of a window, one position is the row itself.
  for (const Layer& layer : model_.layers) {
    bytes += position_bytes * std::min(length, layer.window - 1);
  }
  return bytes;
}

// ---- before a pass: what is asked for, and where every row stands -------------------------------

void Engine::check(const RowSpans& rows, int layers, std::span<const int> hidden) const {
  const size_t n = rows.token.size();
  if (rows.sequence.size() != n || rows.parent.size() != n || rows.commit.size() != n ||
      rows.want_logits.size() != n) {
    throw UsageError("The arrays of a pass's rows differ in length.");
  }
  if (n == 0 || n > static_cast<size_t>(max_rows_)) {
    throw UsageError("A pass takes 1 to " + std::to_string(max_rows_) + " rows, not " +
                     std::to_string(n) + ".");
  }
  const int depth = layers < 0 ? model_.hyper.layers : layers;
  if (depth < 1 || depth > model_.hyper.layers) {
    throw UsageError("layers has to lie between 1 and " + std::to_string(model_.hyper.layers) +
                     ", not " + std::to_string(layers) + ".");
  }
  for (int layer : hidden) {
    if (layer < 0 || layer > depth) {
      throw UsageError("hidden names layer " + std::to_string(layer) + "; this pass has 0 to " +
                       std::to_string(depth) + ".");
    }
    if (std::count(hidden.begin(), hidden.end(), layer) > 1) {
      throw UsageError("hidden names layer " + std::to_string(layer) + " twice.");
    }
  }
  for (size_t i = 0; i < n; ++i) {
    if (rows.token[i] < 0 || rows.token[i] >= model_.hyper.vocab) {
      throw UsageError(row_text(i) + " has token " + std::to_string(rows.token[i]) +
                       ", outside the vocabulary of " + std::to_string(model_.hyper.vocab) + ".");
    }
    if (rows.parent[i] < -1 || rows.parent[i] >= static_cast<int64_t>(i)) {
      throw UsageError(row_text(i) + " has parent " + std::to_string(rows.parent[i]) +
                       ", which does not stand before it.");
    }
    if (rows.parent[i] >= 0 && rows.sequence[rows.parent[i]] != rows.sequence[i]) {
      throw UsageError(row_text(i) + " has a parent in another sequence.");
    }
    if (rows.commit[i] && depth < model_.hyper.layers) {
      throw UsageError(row_text(i) + " cannot become history in a pass over only some layers.");
    }
  }
}

void Engine::place(const RowSpans& rows) {
  const int n = static_cast<int>(rows.token.size());
  // Committed rows of each sequence so far, and the last of them.
  struct State {
    int64_t committed = 0;
    int last = -1;
    bool drafted = false;
  };
  std::map<int32_t, State> states;
  std::vector<Place> places(n);
  for (int i = 0; i < n; ++i) {
    Place& here = places[i];
    State& state = states[rows.sequence[i]];
    here.sequence = &cache_.find(rows.sequence[i]);
    here.sequence_id = rows.sequence[i];
    const int parent = rows.parent[i];
    if (rows.commit[i]) {
      if (state.drafted || parent != state.last) {
        throw UsageError(row_text(i) +
                         " is committed, so it has to follow the committed rows of its sequence "
                         "and stand before its drafted ones.");
      }
      here.position = here.sequence->length + state.committed++;
      state.last = i;
    } else {
      if (parent < 0 && state.committed) {
        throw UsageError(row_text(i) +
                         " follows the history but stands behind committed rows of its sequence.");
      }
      if (parent >= 0 && rows.commit[parent] && parent != state.last) {
        throw UsageError(row_text(i) + " does not follow the last committed row of its sequence.");
      }
      state.drafted = true;
      here.position = (parent < 0 ? here.sequence->length - 1 : places[parent].position) + 1;
    }
    if (here.position >= here.sequence->capacity) {
      throw UsageError(row_text(i) + " would stand at position " + std::to_string(here.position) +
                       " of a sequence opened for " + std::to_string(here.sequence->capacity) +
                       " tokens.");
    }
  }

  order_.resize(n);
  std::iota(order_.begin(), order_.end(), 0);
  std::stable_sort(order_.begin(), order_.end(), [&](int a, int b) {
    return std::pair(rows.sequence[a], !rows.commit[a]) <
           std::pair(rows.sequence[b], !rows.commit[b]);
  });
  int slot = 0;
  for (int i : order_) {
    Place& here = places[i];
    here.history = rows.commit[i] ? here.position + 1
                                  : here.sequence->length + states[rows.sequence[i]].committed;
    here.slot = rows.commit[i] ? -1 : slot++;
    if (rows.commit[i]) continue;
    const int parent = rows.parent[i];
    if (parent >= 0 && !rows.commit[parent]) here.ancestors = places[parent].ancestors;
    here.ancestors.push_back(here.slot);
  }
  // Nothing has changed until here: an error leaves every sequence as it was.
  for (const auto& [id, state] : states) {
    CachedSequence& sequence = cache_.find(id);
    cache_.grow(sequence, sequence.length + state.committed);
  }
  places_ = std::move(places);
  tokens_.assign(rows.token.begin(), rows.token.end());
}

void Engine::make_tiles() {
  const int group = model_.hyper.heads / model_.hyper.kv_heads;
  const int most = std::max(1, kTileQueries / group);
  tiles_.clear();
  longest_chunks_ = 0;
  const int n = static_cast<int>(order_.size());
  for (int first = 0; first < n;) {
    const Place& start = places_[order_[first]];
    const bool drafted = start.slot >= 0;
    int end = first;
    while (end < n && places_[order_[end]].sequence == start.sequence &&
           (places_[order_[end]].slot >= 0) == drafted) {
      ++end;
    }
    const int slot_first = start.slot, slot_last = start.slot + (end - first);
    for (int i = first; i < end; i += most) {
      Tile tile{i, std::min(i + most, end), slot_first, slot_last, 0};
      for (int j = tile.first; j < tile.last; ++j) {
        tile.chunks = std::max(tile.chunks, places_[order_[j]].position / kChunk + 1);
      }
      longest_chunks_ = std::max(longest_chunks_, tile.chunks);
      tiles_.push_back(tile);
    }
    first = end;
  }
  // With few rows the chunks of a long context are what there is to share out.
  split_chunks_ = longest_chunks_ > 1 &&
                  static_cast<int>(tiles_.size()) * model_.hyper.kv_heads < 8 * pool_.size();
}

void Engine::make_room(int rows) {
  const Hyperparameters& h = model_.hyper;
  const size_t n = rows;
  const size_t widest = std::max({h.width, h.query_width(), h.feed_forward});
  state_.need(n * h.width);
  normed_.need(n * h.width);
  change_.need(n * h.width);
  query_.need(n * h.query_width());
  key_.need(n * padded(h.kv_width()));
  value_.need(n * padded(h.kv_width()));
  attended_.need(n * h.query_width());
  gate_.need(n * h.feed_forward);
  up_.need(n * h.feed_forward);
  codes_.need(n * widest);
  groups_.need(n * widest / kGroup);
  if (split_chunks_) {
    part_outs_.need(n * h.heads * longest_chunks_ * h.head_dim);
    part_softmax_.resize(n * h.heads * longest_chunks_);
  }
}

void Engine::extend_rope(int64_t length) {
  if (length <= rope_length_) return;
  length = std::min(context_, (length + 1023) / 1024 * 1024);
  rope_.resize(model_.rope_rates.size());
  for (size_t kind = 0; kind < rope_.size(); ++kind) {
    const std::vector<double>& rates = model_.rope_rates[kind];
    const size_t pairs = rates.size();
    Buffer<float> cos(length * pairs), sin(length * pairs);
    std::copy_n(rope_[kind].cos.data(), rope_length_ * pairs, cos.data());
    std::copy_n(rope_[kind].sin.data(), rope_length_ * pairs, sin.data());
    for (int64_t p = rope_length_; p < length; ++p) {
      for (size_t i = 0; i < pairs; ++i) {
        const double angle = static_cast<double>(p) * rates[i];
        cos[p * pairs + i] = static_cast<float>(std::cos(angle));
        sin[p * pairs + i] = static_cast<float>(std::sin(angle));
      }
    }
    rope_[kind] = {std::move(cos), std::move(sin)};
  }
  rope_length_ = length;
}

void Engine::forward(const RowSpans& rows, int layers, std::span<const int> hidden) {
  check(rows, layers, hidden);
  place(rows);
  make_tiles();
  const int n = static_cast<int>(rows.token.size());
  const int depth = layers < 0 ? model_.hyper.layers : layers;
  make_room(n);
  int64_t longest = 0;
  for (const Place& here : places_) longest = std::max(longest, here.position + 1);
  extend_rope(longest);

  ++outcome_.number;
  outcome_.rows = n;
  outcome_.depth = depth;
  outcome_.seconds = {};
  outcome_.logit_row.assign(n, -1);
  head_rows_.clear();
  for (int i = 0; i < n; ++i) {
    if (!rows.want_logits[i]) continue;
    outcome_.logit_row[i] = static_cast<int>(head_rows_.size());
    head_rows_.push_back(i);
  }
  outcome_.logits.need(head_rows_.size() * padded(model_.hyper.vocab));
  outcome_.maxima.need(head_rows_.size() * maxima_size(model_.hyper.vocab));
  outcome_.hidden_layers.assign(hidden.begin(), hidden.end());
  outcome_.hidden.need(hidden.size() * n * model_.hyper.width);
  hidden_at_.assign(depth + 1, -1);
  for (size_t i = 0; i < hidden.size(); ++i) hidden_at_[hidden[i]] = static_cast<int>(i);

  pool_.run([&](int thread) { compute(thread, rows, depth); });

  for (int i = 0; i < n; ++i) {
    if (rows.commit[i]) cache_.append(*places_[i].sequence, rows.token.subspan(i, 1));
  }
}

// ---- the pass: every thread runs this -----------------------------------------------------------

template <typename Work>
void Engine::share(int thread, int count, const Work& work) const {
  const int64_t first = int64_t{count} * thread / pool_.size();
  const int64_t last = int64_t{count} * (thread + 1) / pool_.size();
  for (int i = static_cast<int>(first); i < last; ++i) work(i);
}

void Engine::compute(int thread, const RowSpans& rows, int depth) {
  const Hyperparameters& h = model_.hyper;
  const int n = static_cast<int>(rows.token.size());
  const int64_t kv_stride = padded(h.kv_width());
  // The first thread's clock stands for all: they meet at the end of every phase.
  using Clock = std::chrono::steady_clock;
  Clock::time_point last = Clock::now();
  const auto spent = [&](Phase phase) {
    if (thread) return;
    const Clock::time_point now = Clock::now();
    outcome_.seconds[static_cast<int>(phase)] += std::chrono::duration<double>(now - last).count();
    last = now;
  };

  share(thread, n,
        [&](int r) { model_.embed(rows.token[r], state_.data() + int64_t{r} * h.width); });
  for (int i = 0; i < depth; ++i) {
    const Layer& layer = model_.layers[i];
    share(thread, n, [&](int r) {
      float* normed = normed_.data() + int64_t{r} * h.width;
      absorb(r, i);
      kernels_.rms_norm(state_.data() + int64_t{r} * h.width, layer.attention_norm.data(), h.width,
                        h.epsilon, normed);
      quantize(r, normed, h.width);
    });
    pool_.barrier();
    spent(Phase::Rest);
    multiply(thread,
             std::array<Product, 3>{{{&layer.query, query_.data(), h.query_width()},
                                     {&layer.key, key_.data(), kv_stride},
                                     {&layer.value, value_.data(), kv_stride}}},
             normed_.data(), n);
    pool_.barrier();
    spent(Phase::Weights);
    share(thread, n, [&](int r) { rotate_and_store(r, i); });
    if (thread == 0) pool_.reset_counter();
    pool_.barrier();
    spent(Phase::Rest);
    attention(thread, i);
    spent(Phase::Attention);
    share(thread, n, [&](int r) {
      quantize(r, attended_.data() + int64_t{r} * h.query_width(), h.query_width());
    });
    pool_.barrier();
    spent(Phase::Rest);
    multiply(thread, std::array<Product, 1>{{{&layer.attention_output, change_.data(), h.width}}},
             attended_.data(), n);
    pool_.barrier();
    spent(Phase::Weights);
    share(thread, n, [&](int r) {
      float* state = state_.data() + int64_t{r} * h.width;
      float* normed = normed_.data() + int64_t{r} * h.width;
      float* change = change_.data() + int64_t{r} * h.width;
      if (layer.post_attention_norm.size()) {
        kernels_.rms_norm(change, layer.post_attention_norm.data(), h.width, h.epsilon, change);
      }
      kernels_.add(state, change, h.width);
      kernels_.rms_norm(state, layer.feed_forward_norm.data(), h.width, h.epsilon, normed);
      quantize(r, normed, h.width);
    });
    pool_.barrier();
    spent(Phase::Rest);
    multiply(thread,
             std::array<Product, 2>{{{&layer.gate, gate_.data(), h.feed_forward},
                                     {&layer.up, up_.data(), h.feed_forward}}},
             normed_.data(), n);
    pool_.barrier();
    spent(Phase::Weights);
    const int segments = (h.feed_forward + kSegment - 1) / kSegment;
    share(thread, n * segments, [&](int piece) {
      const int r = piece / segments, from = piece % segments * kSegment;
      const int count = std::min(kSegment, h.feed_forward - from);
      const int64_t place = int64_t{r} * h.feed_forward + from;
      float* gate = gate_.data() + place;
      const auto activate =
          h.family.activation == Activation::Silu ? kernels_.silu_mul : kernels_.gelu_mul;
      activate(gate, up_.data() + place, count, gate);
      kernels_.quantize(gate, count, codes_.data() + place, groups_.data() + place / kGroup);
    });
    pool_.barrier();
    spent(Phase::Rest);
    multiply(thread, std::array<Product, 1>{{{&layer.down, change_.data(), h.width}}}, gate_.data(),
             n);
    pool_.barrier();
    spent(Phase::Weights);
  }

  share(thread, n, [&](int r) { absorb(r, depth); });
  pool_.barrier();
  const int heads = static_cast<int>(head_rows_.size());
  share(thread, heads, [&](int i) {
    float* normed = normed_.data() + int64_t{i} * h.width;
    kernels_.rms_norm(state_.data() + int64_t{head_rows_[i]} * h.width, model_.output_norm.data(),
                      h.width, h.epsilon, normed);
    quantize(i, normed, h.width);
  });
  pool_.barrier();
  spent(Phase::Rest);
  multiply(thread,
           std::array<Product, 1>{{{&model_.head(), outcome_.logits.data(), padded(h.vocab)}}},
           normed_.data(), heads);
  pool_.barrier();
  for (int i = 0; i < heads; ++i) {
    find_maxima(outcome_.logits.data() + padded(h.vocab) * i, h.vocab, thread, pool_.size(),
                outcome_.maxima.data() + maxima_size(h.vocab) * i);
  }
  pool_.barrier();
  spent(Phase::Output);
}

// Add what the layer before has found to the row's state; keep the state where it was asked for.
void Engine::absorb(int row, int layer) {
  const int width = model_.hyper.width;
  float* state = state_.data() + int64_t{row} * width;
  if (layer > 0) {
    float* change = change_.data() + int64_t{row} * width;
    const Buffer<float>& norm = model_.layers[layer - 1].post_feed_forward_norm;
    if (norm.size()) kernels_.rms_norm(change, norm.data(), width, model_.hyper.epsilon, change);
    kernels_.add(state, change, width);
  }
  if (hidden_at_[layer] >= 0) {
    std::copy_n(
        state, width,
        outcome_.hidden.data() + (int64_t{hidden_at_[layer]} * outcome_.rows + row) * width);
  }
}

void Engine::quantize(int row, const float* x, int n) {
  kernels_.quantize(x, n, codes_.data() + int64_t{row} * n,
                    groups_.data() + int64_t{row} * n / kGroup);
}

// Outputs are split over threads, the inner dimension never. Shares are equal in bytes.
void Engine::multiply(int thread, std::span<const Product> products, const float* x, int rows) {
  if (rows == 0) return;
  int64_t total = 0;
  for (const Product& p : products) total += static_cast<int64_t>(p.matrix->bytes());
  const int64_t first = total * thread / pool_.size(), last = total * (thread + 1) / pool_.size();
  int64_t place = 0;
  for (const Product& p : products) {
    const Activations in{codes_.data(), groups_.data(), x, p.matrix->inputs};
    const auto block_bytes = static_cast<int64_t>(p.matrix->block_bytes());
    for (int block = 0; block < p.matrix->blocks(); ++block, place += block_bytes) {
      if (place >= first && place < last) {
        kernels_.matmul(*p.matrix, block, in, 0, rows, p.out + int64_t{block} * kBlock, p.stride);
      }
    }
  }
}

// A row's queries or keys as attention takes them: with their bias, normalised, rotated.
void Engine::prepare_heads(float* x, int heads, const Layer& layer, const Buffer<float>& bias,
                           const Buffer<float>& norm, int64_t position) const {
  const Hyperparameters& h = model_.hyper;
  if (bias.size()) kernels_.add(x, bias.data(), heads * h.head_dim);
  for (int head = 0; norm.size() && head < heads; ++head) {
    kernels_.rms_norm(x + head * h.head_dim, norm.data(), h.head_dim, h.epsilon,
                      x + head * h.head_dim);
  }
  const RopeTable& table = rope_[layer.rope];
  const int64_t at = position * (h.rotated / 2);
  const auto rotate =
      h.family.rotation == Rotation::Neighbours ? kernels_.rope : kernels_.rope_halves;
  rotate(x, heads, h.head_dim, h.rotated, table.cos.data() + at, table.sin.data() + at);
}

void Engine::rotate_and_store(int row, int layer) {
  const Hyperparameters& h = model_.hyper;
  const Layer& weights = model_.layers[layer];
  const Place& here = places_[row];
  const int64_t kv_stride = padded(h.kv_width());
  float* key = key_.data() + row * kv_stride;
  float* value = value_.data() + row * kv_stride;
  prepare_heads(query_.data() + int64_t{row} * h.query_width(), h.heads, weights,
                weights.query_bias, weights.query_norm, here.position);
  prepare_heads(key, h.kv_heads, weights, weights.key_bias, weights.key_norm, here.position);
  if (weights.value_bias.size()) kernels_.add(value, weights.value_bias.data(), h.kv_width());
  for (int head = 0; head < h.kv_heads; ++head) {
    uint16_t *keys, *values;
    int lane;
    if (here.slot >= 0) {
      lane = here.slot % kTile;
      keys = scratch_keys(layer, head, here.slot / kTile);
      values = scratch_values(layer, head, here.slot);
    } else {
      const int block = here.sequence->blocks[here.position / kTile];
      lane = static_cast<int>(here.position % kTile);
      keys = cache_.keys(layer, head, block);
      values = cache_.values(layer, head, block) + lane * h.head_dim;
    }
    store_key(key + head * h.head_dim, keys, lane);
    kernels_.to_half(value + head * h.head_dim, h.head_dim, values);
  }
}

void Engine::store_key(const float* key, uint16_t* tile, int lane) const {
  uint16_t halves[1024];
  kernels_.to_half(key, model_.hyper.head_dim, halves);
  for (int d = 0; d < model_.hyper.head_dim; ++d) tile[d * kTile + lane] = halves[d];
}

uint16_t* Engine::scratch_keys(int layer, int head, int tile) const {
  return scratch_.data() +
         ((static_cast<size_t>(layer) * model_.hyper.kv_heads + head) * scratch_tiles_ + tile) * 2 *
             cache_.shape().tile_halves();
}

uint16_t* Engine::scratch_values(int layer, int head, int slot) const {
  return scratch_keys(layer, head, slot / kTile) + cache_.shape().tile_halves() +
         slot % kTile * model_.hyper.head_dim;
}

void Engine::attention(int thread, int layer) {
  const Hyperparameters& h = model_.hyper;
  const int64_t pieces = split_chunks_ ? longest_chunks_ : 1;
  const int64_t items = static_cast<int64_t>(tiles_.size()) * h.kv_heads * pieces;
  for (int64_t item = pool_.next(); item < items; item = pool_.next()) {
    const Tile& tile = tiles_[item / pieces / h.kv_heads];
    const int kv_head = static_cast<int>(item / pieces % h.kv_heads);
    attend(thread, layer, tile, kv_head, split_chunks_ ? item % pieces : -1);
  }
  pool_.barrier();
  if (!split_chunks_) return;
  share(thread, static_cast<int>(places_.size()) * h.heads, [&](int i) {
    const Place& here = places_[i / h.heads];
    const int64_t chunk_first = here.first_visible(model_.layers[layer].window) / kChunk;
    const int64_t chunk_last = here.position / kChunk;
    float* out = attended_.data() + int64_t{i} * h.head_dim;
    const Softmax* parts = part_softmax_.data() + i * longest_chunks_;
    const float* outs = part_outs_.data() + i * longest_chunks_ * h.head_dim;
    Softmax softmax = parts[chunk_first];
    std::copy_n(outs + chunk_first * h.head_dim, h.head_dim, out);
    for (int64_t c = chunk_first + 1; c <= chunk_last; ++c)
      kernels_.merge(softmax, out, parts[c], outs + c * h.head_dim, h.head_dim);
    kernels_.normalize(softmax, out, h.head_dim);
  });
  pool_.barrier();
}

// Attention of a tile's rows over one chunk, left in the parts; or, with `only` < 0, over all
// chunks one after the other, merged as they come. Both do the same operations in the same order.
// With a window, a row's chunks begin with the one that its first visible position lies in.
void Engine::attend(int thread, int layer, const Tile& tile, int kv_head, int64_t only) {
  const Hyperparameters& h = model_.hyper;
  const int group = h.heads / h.kv_heads, rows = tile.last - tile.first, n = rows * group;
  const int slot_tile = tile.slot_first / kTile;
  const int slot_tiles = tile.slot_first < 0 ? 0 : (tile.slot_last + kTile - 1) / kTile - slot_tile;
  const float scale = 1.0f / std::sqrt(static_cast<float>(h.head_dim));
  const int64_t window = model_.layers[layer].window;
  const CachedSequence& sequence = *places_[order_[tile.first]].sequence;
  Workspace& work = workspaces_[thread];
  work.scores.need(size_t{kChunk} * n);
  work.draft_scores.need(static_cast<size_t>(slot_tiles) * kTile * n);
  work.outs.need(static_cast<size_t>(n) * h.head_dim);
  work.parts.resize(n);
  work.totals.resize(n);
  work.values.resize(kChunk);
  work.visible.resize(rows);

  std::vector<const float*>&queries = work.queries, &weights = work.weights;
  std::vector<float*>& outs = work.out_places;
  queries.resize(n);
  weights.resize(n);
  outs.resize(n);
  int64_t histories = 0;  // the longest stretch of history that a row of the tile sees
  int64_t first_visible = kNoWindow;
  for (int r = 0; r < rows; ++r) {
    const Place& here = places_[order_[tile.first + r]];
    histories = std::max(histories, here.history);
    first_visible = std::min(first_visible, here.first_visible(window));
    for (int g = 0; g < group; ++g) {
      queries[r * group + g] =
          query_.data() +
          (int64_t{order_[tile.first + r]} * h.heads + kv_head * group + g) * h.head_dim;
    }
  }

  bool draft_scored = false;
  const int64_t chunk_first = std::max(only, first_visible / kChunk);
  const int64_t chunk_last = only < 0 ? tile.chunks : std::min(only + 1, tile.chunks);
  for (int64_t chunk = chunk_first; chunk < chunk_last; ++chunk) {
    const int64_t begin = chunk * kChunk;
    const int cached = static_cast<int>(std::clamp<int64_t>(histories - begin, 0, kChunk));
    // Scores against the history.
    work.keys.clear();
    for (int t = 0; t * kTile < cached; ++t) {
      const int block = sequence.blocks[begin / kTile + t];
      work.keys.push_back(cache_.keys(layer, kv_head, block));
      const uint16_t* values = cache_.values(layer, kv_head, block);
      for (int j = 0; j < kTile; ++j) work.values[t * kTile + j] = values + j * h.head_dim;
    }
    kernels_.scores(queries.data(), n, work.keys.data(), static_cast<int>(work.keys.size()),
                    h.head_dim, scale, work.scores.data(), kChunk);
    // Scores against drafted rows, put where their positions are.
    if (slot_tiles && begin + kChunk > histories && !draft_scored) {
      work.keys.clear();
      for (int t = 0; t < slot_tiles; ++t)
        work.keys.push_back(scratch_keys(layer, kv_head, slot_tile + t));
      kernels_.scores(queries.data(), n, work.keys.data(), slot_tiles, h.head_dim, scale,
                      work.draft_scores.data(), int64_t{slot_tiles} * kTile);
      draft_scored = true;
    }
    Visible shared{0, cached};  // positions that every row of the tile attends to, from the history
    for (int r = 0; r < rows; ++r) {
      const Place& here = places_[order_[tile.first + r]];
      const auto within = [&](int64_t p) {
        return static_cast<int>(std::clamp<int64_t>(p - begin, 0, kChunk));
      };
      const Visible visible{within(here.first_visible(window)), within(here.position + 1)};
      work.visible[r] = visible;
      shared = {std::max(shared.from, visible.from), std::min(shared.to, visible.to)};
      for (int g = 0; g < group; ++g) {
        const int q = r * group + g;
        float* scores = work.scores.data() + size_t{kChunk} * q;
        for (int64_t p = std::max(begin + visible.from, here.history); p < begin + visible.to;
             ++p) {
          scores[p - begin] =
              work.draft_scores[size_t{kTile} * slot_tiles * q + here.ancestors[p - here.history] -
                                slot_tile * kTile];
        }
        // Outside of the window a weight is exactly 0.
        std::fill_n(scores, visible.from, -std::numeric_limits<float>::infinity());
        if (visible.from < visible.to) work.parts[q] = kernels_.softmax(scores, visible.to);
        weights[q] = scores;
        outs[q] = only < 0
                      ? work.outs.data() + static_cast<size_t>(q) * h.head_dim
                      : part_outs_.data() +
                            ((int64_t{order_[tile.first + r]} * h.heads + kv_head * group + g) *
                                 longest_chunks_ +
                             chunk) *
                                h.head_dim;
        std::fill_n(outs[q], h.head_dim, 0.0f);
      }
    }
    if (shared.from >= shared.to) shared = {0, 0};
    // Values, for each row with positions ascending: what it alone sees before what all rows see,
    // that, and what it alone sees after it.
    const auto accumulate_row = [&](int r, int from, int to) {
      const Place& here = places_[order_[tile.first + r]];
      const int border = std::clamp(cached, from, std::max(from, to));
      const auto add = [&](const uint16_t* const* values, int first, int last) {
        if (first >= last) return;
        kernels_.accumulate(weights.data() + r * group, group, values, first, last, h.head_dim,
                            outs.data() + r * group);
      };
      add(work.values.data(), from, border);
      const uint16_t* drafted[kChunk];
      for (int j = border; j < to; ++j) {
        drafted[j] = scratch_values(layer, kv_head, here.ancestors[begin + j - here.history]);
      }
      add(drafted, border, to);
    };
    for (int r = 0; r < rows; ++r)
      accumulate_row(r, work.visible[r].from, std::min(work.visible[r].to, shared.from));
    if (shared.to)
      kernels_.accumulate(weights.data(), n, work.values.data(), shared.from, shared.to, h.head_dim,
                          outs.data());
    for (int r = 0; r < rows; ++r) {
      const Place& here = places_[order_[tile.first + r]];
      const Visible visible = work.visible[r];
      accumulate_row(r, std::max(visible.from, shared.to), visible.to);
      for (int g = 0; g < group && visible.from < visible.to; ++g) {
        const int q = r * group + g;
        const int64_t at = int64_t{order_[tile.first + r]} * h.heads + kv_head * group + g;
        if (only >= 0) {
          part_softmax_[at * longest_chunks_ + chunk] = work.parts[q];
          continue;
        }
        float* out = attended_.data() + at * h.head_dim;
        Softmax& total = work.totals[q];
        if (chunk == here.first_visible(window) / kChunk) {
          total = work.parts[q];
          std::copy_n(outs[q], h.head_dim, out);
        } else {
          kernels_.merge(total, out, work.parts[q], outs[q], h.head_dim);
        }
        if (begin + kChunk > here.position) kernels_.normalize(total, out, h.head_dim);
      }
    }
  }
}

// ---- after a pass -------------------------------------------------------------------------------

void Engine::keep(int64_t id, std::span<const int32_t> rows) {
  CachedSequence& sequence = cache_.find(id);
  const Hyperparameters& h = model_.hyper;
  if (outcome_.depth < h.layers && !rows.empty()) {
    throw UsageError("The last pass ran only the first " + std::to_string(outcome_.depth) +
                     " layers: its rows lack the rest and cannot be kept.");
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    const int row = rows[i];
    if (row < 0 || row >= static_cast<int>(places_.size()) || places_[row].slot < 0 ||
        places_[row].sequence_id != id) {
      throw UsageError(row_text(row) + " is not a drafted row of this sequence in the last pass.");
    }
    const Place& here = places_[row];
    const bool follows =
        here.position == sequence.length + static_cast<int64_t>(i) &&
        here.ancestors.size() == (i ? places_[rows[i - 1]].ancestors.size() : 0) + 1 &&
        (i == 0 || here.ancestors[i - 1] == places_[rows[i - 1]].slot);
    if (!follows) throw UsageError(row_text(row) + " does not follow the row kept before it.");
  }
  cache_.grow(sequence, sequence.length + static_cast<int64_t>(rows.size()));
  for (int32_t row : rows) {
    const Place& here = places_[row];
    const int block = sequence.blocks[here.position / kTile];
    const int lane = static_cast<int>(here.position % kTile), from = here.slot % kTile;
    for (int layer = 0; layer < h.layers; ++layer) {
      for (int head = 0; head < h.kv_heads; ++head) {
        const uint16_t* source = scratch_keys(layer, head, here.slot / kTile);
        uint16_t* target = cache_.keys(layer, head, block);
        for (int d = 0; d < h.head_dim; ++d) target[d * kTile + lane] = source[d * kTile + from];
        std::copy_n(scratch_values(layer, head, here.slot), h.head_dim,
                    cache_.values(layer, head, block) + lane * h.head_dim);
      }
    }
    cache_.append(sequence, std::span(&tokens_[row], 1));
  }
  // What was kept once cannot be kept again.
  for (int32_t row : rows) places_[row].sequence_id = -1;
}

void Engine::pretend(int64_t id, int64_t length) {
  CachedSequence& sequence = cache_.find(id);
  if (length < 0 || length > sequence.capacity || sequence.length) {
    throw UsageError("Only an empty sequence of enough capacity can be given a made-up length.");
  }
  sequence.shareable = false;
  cache_.grow(sequence, length);
  for (int block : sequence.blocks) {
    for (int layer = 0; layer < model_.hyper.layers; ++layer) {
      for (int head = 0; head < model_.hyper.kv_heads; ++head) {
        std::fill_n(cache_.keys(layer, head, block), 2 * cache_.shape().tile_halves(),
                    uint16_t{0x2c00});
      }
    }
  }
  const std::vector<int32_t> tokens(length, 0);
  cache_.append(sequence, tokens);
}

}  // namespace outrider
