#include "repack.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "error.hpp"
#include "groups.hpp"
#include "half.hpp"

namespace outrider {
namespace {

// What 8 bits and the greatest scale of 16 bits reach.
constexpr float kGreatest = 127.0f * 65504.0f;

// The greatest magnitude of a group. Magnitudes are ordered as their bits are, with infinity and
// then what is not a number above all, and whole numbers are compared many at a time.
float peak_of(const float* values) {
  int32_t peak = 0;
  for (int i = 0; i < kGroup; ++i)
    peak = std::max(peak, std::bit_cast<int32_t>(values[i]) & 0x7fffffff);
  return std::bit_cast<float>(peak);
}

// Real numbers to 8 bits: the scale is rounded to f16 first, so that codes fit what is stored.
void quantize(const float* values, float peak, Group& group) {
  // A small number that it was added to and taken from is rounded to the nearest whole one.
  constexpr float round = 0x1.8p23f;
  group.scale = float_to_half(peak / 127.0f);
  const float scale = half_to_float(group.scale);
  for (int i = 0; i < kGroup; ++i) {
    const float code = scale > 0 ? values[i] / scale + round - round : 0.0f;
    group.codes[i] = static_cast<uint8_t>(std::clamp(static_cast<int>(code), -127, 127) + 128);
  }
}

void read_rounded(const Tensor& tensor, Rows rows, int g, Group* groups) {
  float values[kBlock][kGroup];
  read_floats(tensor.type, rows, g, values);
  for (size_t place = 0; place < rows.size(); ++place) {
    const float peak = peak_of(values[place]);
    // Not a number is not at most anything.
    if (!(peak <= kGreatest)) {
      throw ModelFileError("Tensor '" + tensor.name +
                           "' holds a weight that is not a finite number of at most " +
                           std::to_string(static_cast<int>(kGreatest)) + "; the file is damaged.");
    }
    quantize(values[place], peak, groups[place]);
  }
}

// Four codes of an output lie side by side, so they move as one word.
uint32_t four_codes(const Group& group, int j) {
  uint32_t codes;
  std::memcpy(&codes, group.codes + 4 * j, 4);
  return codes;
}

// The lower four bits of every code.
void write_half_bytes(const Group* groups, uint8_t* out) {
  constexpr uint32_t low = 0x0f0f0f0f;
  for (int j = 0; j < kGroup / 4; ++j) {
    for (int lane = 0; lane < kLanes; ++lane, out += 4) {
      const uint32_t first = four_codes(groups[lane], j) & low;
      const uint32_t second = four_codes(groups[kLanes + lane], j) & low;
      const uint32_t word = first | second << 4;
      std::memcpy(out, &word, 4);
    }
  }
}

void write_fifth_bits(const Group* groups, uint8_t* out) {
  for (int j = 0; j < kGroup / 4; ++j) {
    for (int v = 0; v < kBlock / kLanes; ++v, out += 8) {
      uint64_t bits = 0;
      for (int lane = kLanes; lane-- > 0;) {
        // Bits 4, 12, 20 and 28 of the word move to 28, 29, 30 and 31; no other sums reach there.
        const uint32_t fifths = four_codes(groups[kLanes * v + lane], j) & 0x10101010u;
        bits = bits << 4 | fifths * 0x01020408u >> 28;
      }
      std::memcpy(out, &bits, 8);
    }
  }
}

void write_bytes(const Group* groups, uint8_t* out) {
  for (int j = 0; j < kGroup / 4; ++j) {
    for (int place = 0; place < kBlock; ++place, out += 4) {
      const uint32_t word = four_codes(groups[place], j);
      std::memcpy(out, &word, 4);
    }
  }
}

// One field of all outputs, side by side.
template <typename T>
void write_field(const Group* groups, T Group::* field, uint8_t* out) {
  for (int place = 0; place < kBlock; ++place, out += sizeof(T))
    std::memcpy(out, &(groups[place].*field), sizeof(T));
}

void write_scales(const Group* groups, Layout layout, uint8_t* out) {
  write_field(groups, &Group::scale, out);
  if (has_minimum(layout)) write_field(groups, &Group::minimum, out + 2 * kBlock);
}

void write_record(const Group* groups, Layout layout, uint8_t* out) {
  uint8_t* scales = out + code_bytes(layout);
  code_bits(layout) == 8 ? write_bytes(groups, out) : write_half_bytes(groups, out);
  if (code_bits(layout) == 5) write_fifth_bits(groups, out + kFifthBits);
  if (!has_head(layout)) return write_scales(groups, layout, scales);
  write_field(groups, &Group::sub_scale, scales);
  write_field(groups, &Group::sub_minimum, scales + kBlock);
}

void fill_with_codes(const Tensor& tensor, Rows rows, const Matrix& matrix, uint8_t* out) {
  Group groups[kBlock] = {};  // zeros where there is no output
  for (int g = 0; g < matrix.groups(); ++g) {
    if (is_rounded(tensor.type)) {
      read_rounded(tensor, rows, g, groups);
    } else {
      read_codes(tensor.type, rows, g, groups);
    }
    if (head_bytes(matrix.layout) && g % kHeadGroups == 0) {
      write_scales(groups, matrix.layout, out);
      out += head_bytes(matrix.layout);
    }
    write_record(groups, matrix.layout, out);
    out += record_bytes(matrix.layout);
  }
}

void fill_with_floats(const Tensor& tensor, Rows rows, const Matrix& matrix, uint8_t* out) {
  float values[kBlock][kGroup] = {};
  for (int g = 0; g < matrix.groups(); ++g) {
    read_floats(tensor.type, rows, g, values);
    for (int i = 0; i < kGroup; ++i) {
      for (int place = 0; place < kBlock; ++place, out += sizeof(float))
        std::memcpy(out, &values[place][i], sizeof(float));
    }
  }
}

size_t row_bytes(const Tensor& tensor) {
  return tensor.bytes.size() / (tensor.elements() / tensor.shape[0]);
}

}  // namespace

Layout layout_for(const Tensor& tensor, bool as_float) {
  const std::optional<Layout> layout = layout_of(tensor.type);
  if (!layout) {
    throw ModelFileError(
        "Tensor '" + tensor.name + "' has weights of " + type_name(tensor.type) +
        ", which this engine does not compute with; Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, "
        "Q8_0, F16, BF16 and F32 are.");
  }
  return as_float ? Layout::F32 : *layout;
}

void repack(const Tensor& tensor, int first, int end, Matrix& matrix) {
  const auto fill = matrix.layout == Layout::F32 ? fill_with_floats : fill_with_codes;
  for (int block = first; block < end; ++block) {
    const std::span<const uint8_t> source = source_of(tensor, block, block + 1);
    const uint8_t* rows[kBlock];
    size_t count = 0;
    for (; count * row_bytes(tensor) < source.size(); ++count)
      rows[count] = source.data() + count * row_bytes(tensor);
    fill(tensor, {rows, count}, matrix, matrix.block(block));
  }
}

std::span<const uint8_t> source_of(const Tensor& tensor, int first, int end) {
  const size_t block = row_bytes(tensor) * kBlock;
  const size_t from = block * first, to = std::min(block * end, tensor.bytes.size());
  return tensor.bytes.subspan(from, to - from);
}

}  // namespace outrider
