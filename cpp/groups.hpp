// Groups of 32 weights as files hold them, type by type.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "gguf.hpp"
#include "matrix.hpp"

namespace outrider {

// A group of one output, as the layout of its matrix has it. With sub-scales, `scale` and `minimum`
// are those of the head.
struct Group {
  uint8_t codes[kGroup];  // as stored
  uint16_t scale;         // f16 bits
  uint16_t minimum;
  uint8_t sub_scale;
  uint8_t sub_minimum;
};

// The rows of the file that become one block: 32 or, at the end of a matrix, fewer.
using Rows = std::span<const uint8_t* const>;

// What a matrix of this type becomes; nothing where it is not supported.
std::optional<Layout> layout_of(TensorType type);

// Whether a matrix of this type becomes 8-bit groups that hold other weights than the file.
bool is_rounded(TensorType type);

// Group `g` of every row, of a type that is repacked without changing a weight.
void read_codes(TensorType type, Rows rows, int g, Group* groups);

// The weights of group `g` of every row, whatever the type.
void read_floats(TensorType type, Rows rows, int g, float (*values)[kGroup]);

}  // namespace outrider
