// A weight matrix in the layout that the kernels read, and activations quantised to match it.
//
// Outputs come in blocks of 32 (two vectors of 16 lanes), inputs in groups of 32. A block's groups
// follow one another, each as one record of codes, scales and minima, so that a pass reads every
// matrix as one stream:
//
//   U4, U4M   512 bytes of codes: byte 64·j + 4·lane + i holds input 4·j + i, the output `lane` of
//             the first vector in the low half and of the second vector in the high half
//   I8        1024 bytes of codes: byte 128·j + 64·v + 4·lane + i, offset by 128
//   all       32 scales (f16), then for U4M 32 minima (f16)
//   F32       32 floats an input, no groups
//
// A weight is scale·(code − 8) for U4, scale·code + minimum for U4M, scale·code for I8. Nothing is
// rounded on the way from the file's Q4_0, Q4_1 and Q8_0; F16, BF16 and F32 become I8.
#pragma once

#include <cstdint>
#include <string>

#include "buffer.hpp"
#include "gguf.hpp"

namespace outrider {

constexpr int kGroup = 32;
constexpr int kBlock = 32;
constexpr int kLanes = 16;

enum class Layout { U4, U4M, I8, F32 };

const char* layout_name(Layout layout);

// Bytes of one record: a group of inputs for a block of outputs (F32: 32 inputs as well).
constexpr int record_bytes(Layout layout) {
  switch (layout) {
    case Layout::U4:
      return 512 + 64;
    case Layout::U4M:
      return 512 + 64 + 64;
    case Layout::I8:
      return 1024 + 64;
    case Layout::F32:
      return 32 * 32 * 4;
  }
  return 0;
}

class Matrix {
 public:
  Matrix() = default;
  // Repack a tensor of the file. With `as_float`, its exact values as 32-bit floats.
  // Throws ModelFileError for a type that is not supported.
  Matrix(const Tensor& tensor, bool as_float);

  Layout layout{};
  TensorType source{};
  int inputs = 0;
  int outputs = 0;

  int groups() const { return inputs / kGroup; }
  int blocks() const { return (outputs + kBlock - 1) / kBlock; }
  size_t bytes() const { return data_.size(); }
  const uint8_t* record(int block, int group) const {
    return data_.data() + (static_cast<size_t>(block) * groups() + group) * record_bytes(layout);
  }

  // The meaning of the layout, one element at a time; the kernels' reference.
  int code(int output, int input) const;
  float scale(int output, int group) const;
  float minimum(int output, int group) const;
  float weight(int output, int input) const;

 private:
  Buffer<uint8_t> data_;
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
