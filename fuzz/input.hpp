// Choices out of a fuzzer's bytes.
#pragma once

#include <cstddef>
#include <cstdint>

// The bytes of the input, one after the other; zeros when they are used up.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : next_(data), end_(data + size) {}

  bool empty() const { return next_ == end_; }
  uint8_t byte() { return empty() ? 0 : *next_++; }
  int32_t below(int32_t n) { return n > 256 ? (byte() << 8 | byte()) % n : byte() % n; }
  bool rarely() { return byte() >= 250; }
  int32_t any() {
    uint32_t value = 0;
    for (int i = 0; i < 4; ++i) value = value << 8 | byte();
    return static_cast<int32_t>(value);
  }

 private:
  const uint8_t *next_, *end_;
};
