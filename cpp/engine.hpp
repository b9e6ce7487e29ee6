// One pass of a model over many rows: of several sequences, prompts and drafts at once.
#pragma once

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <vector>

#include "cache.hpp"
#include "kernels.hpp"
#include "model.hpp"
#include "sampling.hpp"
#include "threads.hpp"

namespace outrider {

// Rows of a pass, arrays of equal length. Parents stand before their children; -1 is the history.
struct RowSpans {
  std::span<const int32_t> sequence;
  std::span<const int32_t> token;
  std::span<const int32_t> parent;
  std::span<const bool> commit;
  std::span<const bool> want_logits;
};

struct EngineOptions {
  bool as_float = false;
  int threads = 1;
  std::string kernel;
  int64_t context = 0;  // 0: the model's own
  size_t cache_bytes = 0;
  int max_rows = 512;
  Progress progress;  // of the loading
};

// What the time of a pass goes to.
enum class Phase { Weights, Attention, Output, Rest };
constexpr int kPhases = 4;
constexpr std::array<const char*, kPhases> kPhaseNames = {"weights", "attention", "output", "rest"};

// Logits and hidden states of the last pass.
struct Outcome {
  uint64_t number = 0;             // of the pass they belong to
  std::vector<int32_t> logit_row;  // for each row of the pass, its place in `logits` or -1
  Buffer<float> logits;            // [rows with logits][vocab]
  Buffer<float> maxima;            // [rows with logits][maxima_size(vocab)]
  std::vector<int> hidden_layers;
  Buffer<float> hidden;  // [hidden layers][rows][width]
  int rows = 0;
  int depth = 0;                          // layers that were run
  std::array<double, kPhases> seconds{};  // by phase, what precedes the first layer being Rest
};

class Engine {
 public:
  // Throws ModelFileError, UsageError, CapacityError.
  Engine(const Gguf& file, const EngineOptions& options);

  CachedSequence& open(std::span<const int32_t> tokens, int64_t capacity, bool share);
  CachedSequence& fork(int64_t id, int64_t capacity);
  void close(int64_t id) { cache_.close(id); }

  // Compute all rows. `layers` < 0: all of them. `hidden`: layers after which the rows' state is
  // kept, 0 being the embedding. Throws UsageError for rows that break the rules.
  void forward(const RowSpans& rows, int layers, std::span<const int> hidden);
  // These drafted rows of the last pass, a path from the history, become history.
  void keep(int64_t id, std::span<const int32_t> rows);
  // Give a sequence this length with made-up contents, to measure what long contexts cost.
  void pretend(int64_t id, int64_t length);

  const Model& model() const { return model_; }
  const Kernels& kernels() const { return kernels_; }
  Cache& cache() { return cache_; }
  const Outcome& outcome() const { return outcome_; }
  Logits logits(int row) const;
  // Bytes of the cache that a row behind so many tokens of history reads.
  int64_t history_bytes(int64_t length) const;
  int threads() const { return pool_.size(); }
  int64_t context() const { return context_; }
  int max_rows() const { return max_rows_; }

 private:
  // Where a row stands.
  struct Place {
    CachedSequence* sequence;
    int64_t sequence_id;
    int64_t position;
    int64_t history;                 // positions below this are in the sequence's blocks
    int slot;                        // in the scratch, or -1 for a committed row
    std::vector<int32_t> ancestors;  // slots of the positions from `history` on, its own last

    // The first position that it attends to within a window.
    int64_t first_visible(int64_t window) const {
      return std::max<int64_t>(0, position + 1 - window);
    }
  };
  // The positions of a chunk that a row attends to, counted from the chunk's beginning.
  struct Visible {
    int from, to;
  };
  // Rows of one sequence whose attention is computed together: committed ones, or drafted ones.
  struct Tile {
    int first, last;            // in `order_`
    int slot_first, slot_last;  // scratch slots of all drafted rows of the sequence
    int64_t chunks;
  };
  struct Product {
    const Matrix* matrix;
    float* out;
    int64_t stride;
  };
  // Memory of one thread for attention.
  struct Workspace {
    Buffer<float> scores, draft_scores, outs;
    std::vector<const uint16_t*> keys, values;
    std::vector<const float*> queries, weights;
    std::vector<float*> out_places;
    std::vector<Softmax> parts, totals;
    std::vector<Visible> visible;
  };

  void check(const RowSpans& rows, int layers, std::span<const int> hidden) const;
  void place(const RowSpans& rows);
  void make_tiles();
  void make_room(int rows);
  void extend_rope(int64_t length);

  // The parts of a pass; each is called by every thread.
  void compute(int thread, const RowSpans& rows, int layers);
  void absorb(int row, int layer);
  void quantize(int row, const float* x, int n);
  void multiply(int thread, std::span<const Product> products, const float* x, int rows);
  void prepare_heads(float* x, int heads, const Layer& layer, const Buffer<float>& bias,
                     const Buffer<float>& norm, int64_t position) const;
  void rotate_and_store(int row, int layer);
  void attention(int thread, int layer);
  void attend(int thread, int layer, const Tile& tile, int kv_head, int64_t chunk);
  template <typename Work>
  void share(int thread, int count, const Work& work) const;

  uint16_t* scratch_keys(int layer, int head, int tile) const;
  uint16_t* scratch_values(int layer, int head, int slot) const;
  void store_key(const float* key, uint16_t* tile, int lane) const;

  const Model model_;
  const Kernels& kernels_;
  const int64_t context_;
  const int max_rows_;
  Cache cache_;
  ThreadPool pool_;
  Outcome outcome_;

  const int scratch_tiles_;
  mutable Buffer<uint16_t> scratch_;
  std::vector<Place> places_;
  std::vector<int32_t> tokens_;
  std::vector<int> order_;  // rows sorted so that those of a tile lie together
  std::vector<Tile> tiles_;
  std::vector<int> head_rows_;  // rows with logits
  std::vector<int> hidden_at_;  // for each layer, where its state is kept, or -1
  int64_t longest_chunks_ = 0;
  bool split_chunks_ = false;

  // Of one kind of rotation, [positions][rotated / 2].
  struct RopeTable {
    Buffer<float> cos, sin;
  };
  std::vector<RopeTable> rope_;
  int64_t rope_length_ = 0;

  // [rows][…]
  Buffer<float> state_, normed_, change_, query_, key_, value_, attended_, gate_, up_;
  Buffer<int8_t> codes_;
  Buffer<ActivationGroup> groups_;
  Buffer<float> part_outs_;  // [rows][heads][chunks][head_dim], where chunks are split over threads
  std::vector<Softmax> part_softmax_;
  std::vector<Workspace> workspaces_;
};

}  // namespace outrider
