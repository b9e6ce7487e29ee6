#include "cache.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "error.hpp"

namespace outrider {
namespace {

int64_t blocks_for(int64_t tokens) { return (tokens + kTile - 1) / kTile; }

}  // namespace

Cache::Cache(CacheShape shape, size_t budget_bytes)
    : shape_(shape), blocks_(static_cast<int64_t>(budget_bytes / shape.block_bytes())) {
  if (blocks_ < 1) {
    throw CapacityError("The cache budget of " + std::to_string(budget_bytes) +
                            " bytes holds no block of this model's cache, which takes " +
                            std::to_string(shape.block_bytes()) + " bytes; raise --cache-budget.",
                        true);
  }
  mapped_ = bytes();
  // Pages come into being when they are first written: an unused budget costs nothing.
  void* memory = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    throw CapacityError("The cache budget of " + std::to_string(budget_bytes) +
                            " bytes cannot be mapped; lower --cache-budget.",
                        true);
  }
  data_ = static_cast<uint16_t*>(memory);
  block_.resize(blocks_);
  free_.resize(blocks_);
  for (int64_t i = 0; i < blocks_; ++i) free_[i] = static_cast<int>(blocks_ - 1 - i);
}

Cache::~Cache() { munmap(data_, mapped_); }

int64_t Cache::free_blocks() const {
  return static_cast<int64_t>(free_.size() + unused_.size()) - reserved_;
}

void Cache::reserve(int64_t fresh, int64_t revived, int64_t capacity) const {
  if (blocks_for(capacity) > blocks_) {
    throw CapacityError("A sequence of " + std::to_string(capacity) +
                            " tokens does not fit the cache budget, which holds " +
                            std::to_string(blocks_ * kTile) +
                            "; raise --cache-budget or lower --max-tokens.",
                        true);
  }
  if (fresh + revived > free_blocks()) {
    throw CapacityError("The cache has room for " +
                            std::to_string(std::max<int64_t>(free_blocks(), 0) * kTile) +
                            " more tokens now and " + std::to_string((fresh + revived) * kTile) +
                            " are needed; wait until other requests end.",
                        false);
  }
}

CachedSequence& Cache::open(std::span<const int32_t> tokens, int64_t capacity, bool share) {
  CachedSequence sequence;
  sequence.capacity = capacity;
  sequence.shareable = share;
  int64_t revived = 0;
  // At least one token is left to compute: its logits are needed.
  for (size_t i = 0; share && i + kTile < tokens.size(); i += kTile) {
    const int block = lookup(sequence.parent, tokens.subspan(i, kTile));
    if (block < 0) break;
    sequence.blocks.push_back(block);
    sequence.parent = block_[block].serial;
    revived += block_[block].users == 0;
  }
  sequence.reserved =
      std::max<int64_t>(blocks_for(capacity) - static_cast<int64_t>(sequence.blocks.size()), 0);
  reserve(sequence.reserved, revived, capacity);
  for (int block : sequence.blocks) {
    if (block_[block].users++ == 0) unused_.erase(block_[block].unused);
  }
  sequence.cached = sequence.length = static_cast<int64_t>(sequence.blocks.size()) * kTile;
  reserved_ += sequence.reserved;
  sequence.id = next_id_++;
  return sequences_.emplace(sequence.id, std::move(sequence)).first->second;
}

CachedSequence& Cache::fork(const CachedSequence& parent, int64_t capacity) {
  CachedSequence sequence = parent;
  sequence.capacity = capacity;
  const int64_t full = parent.length / kTile;
  sequence.blocks.resize(full);
  sequence.reserved = std::max<int64_t>(blocks_for(capacity) - full, 0);
  reserve(sequence.reserved, 0, capacity);
  for (int block : sequence.blocks) ++block_[block].users;
  reserved_ += sequence.reserved;
  sequence.cached = sequence.length;
  if (parent.length % kTile) {
    // The last block is only partly filled: each goes on with a copy of its own.
    sequence.length = full * kTile;
    grow(sequence, parent.length);
    sequence.length = parent.length;
    for (int layer = 0; layer < shape_.layers; ++layer) {
      for (int head = 0; head < shape_.heads; ++head) {
        std::memcpy(keys(layer, head, sequence.blocks.back()),
                    keys(layer, head, parent.blocks[full]), 4 * shape_.tile_halves());
      }
    }
  }
  sequence.id = next_id_++;
  return sequences_.emplace(sequence.id, std::move(sequence)).first->second;
}

void Cache::close(int64_t id) {
  CachedSequence& sequence = find(id);
  // The end of a sequence is forgotten before its beginning.
  for (auto block = sequence.blocks.rbegin(); block != sequence.blocks.rend(); ++block)
    release(*block);
  reserved_ -= sequence.reserved;
  sequences_.erase(id);
}

CachedSequence& Cache::find(int64_t id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) {
    throw UsageError("There is no open sequence with the number " + std::to_string(id) + ".");
  }
  return found->second;
}

void Cache::grow(CachedSequence& sequence, int64_t length) {
  while (static_cast<int64_t>(sequence.blocks.size()) < blocks_for(length)) {
    sequence.blocks.push_back(take());
    --sequence.reserved;
    --reserved_;
  }
}

void Cache::append(CachedSequence& sequence, std::span<const int32_t> tokens) {
  for (int32_t token : tokens) {
    sequence.tail.push_back(token);
    ++sequence.length;
    if (sequence.tail.size() < kTile) continue;
    Block& block = block_[sequence.blocks[sequence.length / kTile - 1]];
    if (sequence.shareable) {
      if (const int twin = lookup(sequence.parent, sequence.tail); twin >= 0) {
        // Another sequence has computed the same block; what follows is found under that one.
        sequence.parent = block_[twin].serial;
      } else {
        block.serial = next_serial_++;
        block.parent = sequence.parent;
        block.tokens = sequence.tail;
        full_.emplace(hash(block.parent, block.tokens),
                      sequence.blocks[sequence.length / kTile - 1]);
        sequence.parent = block.serial;
      }
    }
    sequence.tail.clear();
  }
}

void Cache::clear() {
  while (!unused_.empty()) {
    const int block = unused_.front();
    unused_.pop_front();
    forget(block);
    free_.push_back(block);
  }
  // Later sequences get blocks in order again.
  std::sort(free_.begin(), free_.end(), std::greater<>());
}

int Cache::take() {
  if (!free_.empty()) {
    const int block = free_.back();
    free_.pop_back();
    block_[block].users = 1;
    return block;
  }
  const int block = unused_.front();
  unused_.pop_front();
  forget(block);
  block_[block].users = 1;
  return block;
}

void Cache::release(int index) {
  Block& block = block_[index];
  if (--block.users > 0) return;
  if (block.serial) {
    block.unused = unused_.insert(unused_.end(), index);
  } else {
    free_.push_back(index);
  }
}

void Cache::forget(int index) {
  Block& block = block_[index];
  const auto range = full_.equal_range(hash(block.parent, block.tokens));
  for (auto it = range.first; it != range.second; ++it) {
    if (it->second == index) {
      full_.erase(it);
      break;
    }
  }
  block.serial = 0;
  block.tokens.clear();
}

uint64_t Cache::hash(uint64_t parent, std::span<const int32_t> tokens) const {
  uint64_t h = parent * 0x9e3779b97f4a7c15u + 0x632be59bd9b4e019u;
  for (int32_t token : tokens) {
    h = (h ^ static_cast<uint32_t>(token)) * 0xff51afd7ed558ccdu;
    h ^= h >> 32;
  }
  return h;
}

int Cache::lookup(uint64_t parent, std::span<const int32_t> tokens) const {
  const auto range = full_.equal_range(hash(parent, tokens));
  for (auto it = range.first; it != range.second; ++it) {
    const Block& block = block_[it->second];
    if (block.parent == parent && std::equal(tokens.begin(), tokens.end(), block.tokens.begin())) {
      return it->second;
    }
  }
  return -1;
}

}  // namespace outrider
