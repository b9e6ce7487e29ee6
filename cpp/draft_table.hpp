// A hash table for counts: open addressing, nothing is ever removed but all at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace outrider {

// One step of a 64-bit hash chain, with the finaliser of splitmix64.
inline uint64_t chain_hash(uint64_t state, uint64_t value) {
  uint64_t z = (state ^ value) + 0x9e3779b97f4a7c15U;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31);
}

// Keys are hashes already, so their low bits choose the slot. Two keys that are equal in all 64
// bits count as one: the worst that comes of it is a bad guess.
template <class Value>
class HashTable {
 public:
  const Value* find(uint64_t key) const {
    if (slots_.empty()) return nullptr;
    const Slot& slot = slots_[place(slots_, nonzero(key))];
    return slot.key ? &slot.value : nullptr;
  }

  // The value of `key`, made by default where there is none. Valid until the next call.
  Value& operator[](uint64_t key) {
    key = nonzero(key);
    if (2 * (used_ + 1) > slots_.size()) grow();
    Slot& slot = slots_[place(slots_, key)];
    if (!slot.key) {
      slot.key = key;
      ++used_;
    }
    return slot.value;
  }

  void clear() {
    slots_.clear();
    used_ = 0;
  }

 private:
  struct Slot {
    uint64_t key = 0;  // 0: free
    Value value{};
  };

  static uint64_t nonzero(uint64_t key) { return key ? key : 1; }

  // Where `key` is, or would be put.
  static size_t place(const std::vector<Slot>& slots, uint64_t key) {
    const size_t mask = slots.size() - 1;
    size_t at = key & mask;
    while (slots[at].key && slots[at].key != key) at = (at + 1) & mask;
    return at;
  }

  void grow() {
    std::vector<Slot> larger(slots_.empty() ? 64 : 2 * slots_.size());
    for (Slot& slot : slots_) {
      if (slot.key) larger[place(larger, slot.key)] = std::move(slot);
    }
    slots_ = std::move(larger);
  }

  std::vector<Slot> slots_;
  size_t used_ = 0;
};

}  // namespace outrider
