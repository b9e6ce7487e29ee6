// The key-value cache: blocks of 16 positions, shared between sequences with a common beginning.
//
// A block holds, for every layer and key-value head, the keys as [head_dim][16] and the values as
// [16][head_dim], both in 16 bits: scores run over positions in the lanes of a vector, weighted
// values over dimensions. The blocks of one layer and head lie side by side, so that a sequence
// whose blocks were handed out in order is read as one stream.
//
// Full blocks are found again by their tokens and their parent. A block nobody uses stays until its
// room is needed, the longest unused first. A sequence reserves at `open` all it may come to need,
// so that it can never fail later.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "kernels.hpp"

namespace outrider {

struct CacheShape {
  int layers;
  int heads;  // key-value heads
  int head_dim;

  size_t tile_halves() const { return size_t{kTile} * head_dim; }
  // Of keys and values together.
  size_t block_bytes() const { return size_t{4} * tile_halves() * layers * heads; }
};

struct CachedSequence {
  int64_t id = 0;
  int64_t length = 0;    // tokens of history
  int64_t cached = 0;    // of these, found in the cache when it was opened
  int64_t capacity = 0;  // tokens it may grow to
  std::vector<int> blocks;
  int64_t reserved = 0;       // blocks it may still ask for
  uint64_t parent = 0;        // serial number of its last full block
  std::vector<int32_t> tail;  // tokens after its last full block
  bool shareable = true;
};

class Cache {
 public:
  // Throws CapacityError where the budget holds no block.
  Cache(CacheShape shape, size_t budget_bytes);
  ~Cache();
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;

  CachedSequence& open(std::span<const int32_t> tokens, int64_t capacity, bool share);
  CachedSequence& fork(const CachedSequence& sequence, int64_t capacity);
  void close(int64_t id);
  CachedSequence& find(int64_t id);

  // Blocks for positions up to `length`, taken from the reservation.
  void grow(CachedSequence& sequence, int64_t length);
  // These tokens have been computed and follow the history.
  void append(CachedSequence& sequence, std::span<const int32_t> tokens);
  // Forget every block that no sequence uses.
  void clear();

  uint16_t* keys(int layer, int head, int block) const {
    return data_ + ((static_cast<size_t>(layer) * shape_.heads + head) * blocks_ + block) * 2 *
                       shape_.tile_halves();
  }
  uint16_t* values(int layer, int head, int block) const {
    return keys(layer, head, block) + shape_.tile_halves();
  }

  const CacheShape& shape() const { return shape_; }
  int64_t blocks() const { return blocks_; }
  int64_t free_blocks() const;  // not used and not reserved
  size_t bytes() const { return shape_.block_bytes() * blocks_; }

 private:
  struct Block {
    int users = 0;
    uint64_t serial = 0;  // not 0: full, and to be found under its parent and tokens
    uint64_t parent = 0;
    std::vector<int32_t> tokens;
    std::list<int>::iterator unused;
  };

  int take();
  void release(int block);
  void forget(int block);
  uint64_t hash(uint64_t parent, std::span<const int32_t> tokens) const;
  int lookup(uint64_t parent, std::span<const int32_t> tokens) const;
  void reserve(int64_t fresh, int64_t revived, int64_t capacity) const;

  CacheShape shape_;
  int64_t blocks_;
  uint16_t* data_ = nullptr;
  size_t mapped_ = 0;
  std::vector<Block> block_;
  std::vector<int> free_;
  std::list<int> unused_;  // full blocks without users, the longest unused first
  std::unordered_multimap<uint64_t, int> full_;
  std::map<int64_t, CachedSequence> sequences_;
  int64_t reserved_ = 0;
  int64_t next_id_ = 1;
  uint64_t next_serial_ = 1;
};

}  // namespace outrider
