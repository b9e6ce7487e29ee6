// A weight matrix in the layout that the kernels read, and activations quantised to match it.
//
// Outputs come in blocks of 32 (two vectors of 16 lanes), inputs in groups of 32. A block's groups
// follow one another, each as a record of codes, scales and minima, so that a pass reads a matrix
// as one stream:
//
//   U4, U4M, U4K   512 bytes of codes: byte 64·j + 4·lane + i holds input 4·j + i, the output
//                  `lane` of the first vector in the low half and of the second in the high half
//   U5, U5M, U5K   the same of the codes' lower four bits, then 128 bytes of their fifth: bit
//                  4·lane + i of the 64 at byte 16·j + 8·v
//   I8             1024 bytes of codes: byte 128·j + 64·v + 4·lane + i
//   all but U.K    32 scales (f16), then for U.M 32 minima (f16)
//   U4K, U5K       32 sub-scales (8 bits), then 32 sub-minima (8 bits); before every eighth group a
//                  head of 32 scales and 32 minima (f16), which hold for eight groups
//   F32            32 floats an input, no groups
//
// A weight is scale·(code − offset), for U.M and U.K without an offset and plus the minimum. A
// group's scale and minimum in U.K are the head's times the group's own, and both products are
// exact in 32 bits. Nothing is rounded on the way from the file's Q4_0, Q4_1, Q4_K, Q5_0, Q5_1,
// Q5_K and Q8_0; Q6_K, F16, BF16 and F32 become I8.
#pragma once

#include <cstdint>
#include <string>

#include "buffer.hpp"
#include "gguf.hpp"

namespace outrider {

constexpr int kGroup = 32;
constexpr int kBlock = 32;
constexpr int kLanes = 16;

enum class Layout { U4, U4M, U4K, U5, U5M, U5K, I8, F32 };

const char* layout_name(Layout layout);

// Whether groups have sub-scales and sub-minima under a head.
constexpr bool has_head(Layout layout) { return layout == Layout::U4K || layout == Layout::U5K; }

constexpr bool has_minimum(Layout layout) {
  return layout == Layout::U4M || layout == Layout::U5M || has_head(layout);
}

// Bits of a weight's code; of the weight itself for F32.
constexpr int code_bits(Layout layout) {
  switch (layout) {
    case Layout::U4:
    case Layout::U4M:
    case Layout::U4K:
      return 4;
    case Layout::U5:
    case Layout::U5M:
    case Layout::U5K:
      return 5;
    case Layout::I8:
      return 8;
    case Layout::F32:
      return 32;
  }
  return 0;
}

// What a stored code is above the one that it stands for, so that none has a sign.
constexpr int code_offset(Layout layout) {
  const bool signless = has_minimum(layout) || layout == Layout::F32;
  return signless ? 0 : 1 << (code_bits(layout) - 1);
}

// Bytes of the codes of a group of inputs for a block of outputs.
constexpr int code_bytes(Layout layout) { return kGroup * kBlock / 8 * code_bits(layout); }

// Where the fifth bits of 5-bit codes begin.
constexpr int kFifthBits = kGroup * kBlock / 2;

// Bytes of a record: such a group with its own scales and minima (F32: of 32 inputs as well).
constexpr int record_bytes(Layout layout) {
  const int scales = layout == Layout::F32                      ? 0
                     : has_minimum(layout) && !has_head(layout) ? 128
                                                                : 64;
  return code_bytes(layout) + scales;
}

// Groups under one head, and the bytes of the head.
constexpr int kHeadGroups = 8;
constexpr int head_bytes(Layout layout) { return has_head(layout) ? 128 : 0; }

class Matrix {
 public:
  Matrix() = default;
  // Of a tensor of the file: with `as_float` of its exact values as 32-bit floats. It has a layout
  // and a size, `settle` says where, and `repack` fills it. Throws ModelFileError for a type that
  // is not supported.
  Matrix(const Tensor& tensor, bool as_float);
  // The weights will lie here, in memory of others' that begins on a cache line.
  void settle(uint8_t* memory) { data_ = memory; }

  Layout layout{};
  TensorType source{};
  int inputs = 0;
  int outputs = 0;

  int groups() const { return inputs / kGroup; }
  int blocks() const { return (outputs + kBlock - 1) / kBlock; }
  size_t bytes() const { return blocks() * block_bytes(); }
  size_t block_bytes() const {
    const size_t heads = (groups() + kHeadGroups - 1) / kHeadGroups;
    return size_t{1} * groups() * record_bytes(layout) + heads * head_bytes(layout);
  }
  // Where a block begins, the head that a group is under, and the group's record.
  const uint8_t* block(int block) const { return data_ + block * block_bytes(); }
  uint8_t* block(int block) { return data_ + block * block_bytes(); }
  const uint8_t* head(int block, int group) const {
    const size_t under = size_t{kHeadGroups} * record_bytes(layout) + head_bytes(layout);
    return this->block(block) + group / kHeadGroups * under;
  }
  const uint8_t* record(int block, int group) const {
    return head(block, group) + head_bytes(layout) + group % kHeadGroups * record_bytes(layout);
  }

  // The meaning of the layout, one element at a time; the kernels' reference.
  int code(int output, int input) const;
  float scale(int output, int group) const;
  float minimum(int output, int group) const;
  float weight(int output, int input) const;

 private:
  uint8_t* data_ = nullptr;
};

// What a group of 32 activations became: x ≈ middle + scale·code. Codes are spread between the
// group's own least and greatest value, because many groups hold outliers of one sign only: against
// codes around zero that more than halves the divergence from the exact model.
struct ActivationGroup {
  float scale;
  float middle;
  float sum;         // of the values as quantised: scale·Σ code + 32·middle
  int32_t code_sum;  // Σ code
};

// The rows of a matrix product's input.
struct Activations {
  const int8_t* codes;            // [rows][inputs]
  const ActivationGroup* groups;  // [rows][groups]
  const float* floats;            // [rows][inputs], for F32 matrices
  int inputs;
};

}  // namespace outrider
