#include "matrix.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "error.hpp"
#include "half.hpp"

namespace outrider {
namespace {

uint16_t load16(const uint8_t* p) {
  uint16_t value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}

// One group of 32 weights of one output, as the layout has it. With sub-scales, `scale` and
// `minimum` are those of the head.
struct Group {
  uint8_t codes[kGroup];  // as stored (8 bits: offset by 128)
  uint16_t scale = 0;     // f16 bits
  uint16_t minimum = 0;
  uint8_t sub_scale = 1;
  uint8_t sub_minimum = 1;
};

// Q4_0 to Q5_1 keep input i in the low half of byte i, input i + 16 in its high half.
void unpack_nibbles(const uint8_t* packed, uint8_t* codes) {
  for (int i = 0; i < 16; ++i) {
    codes[i] = packed[i] & 15;
    codes[i + 16] = packed[i] >> 4;
  }
}

// Q5_0 and Q5_1 keep the fifth bits of a group in a word before the nibbles. `offset` is what a
// stored code is above the file's.
void unpack_five_bits(const uint8_t* packed, int offset, uint8_t* codes) {
  uint32_t high;
  std::memcpy(&high, packed, sizeof(high));
  unpack_nibbles(packed + 4, codes);
  for (int i = 0; i < kGroup; ++i)
    codes[i] = static_cast<uint8_t>((codes[i] | (high >> i & 1) << 4) + offset);
}

// The K types keep 256 weights together. Q4_K and Q5_K: two f16 scales, then eight sub-scales and
// eight sub-minima of 6 bits in 12 bytes, the upper bits of the last four above the first four;
// then nibbles, two groups in 32 bytes.
constexpr int kSuper = 256;

void unpack_sub_scales(const uint8_t* packed, int j, Group& group) {
  if (j < 4) {
    group.sub_scale = packed[j] & 63;
    group.sub_minimum = packed[j + 4] & 63;
  } else {
    group.sub_scale = static_cast<uint8_t>((packed[j + 4] & 15) | packed[j - 4] >> 6 << 4);
    group.sub_minimum = static_cast<uint8_t>(packed[j + 4] >> 4 | packed[j] >> 6 << 4);
  }
}

void read_k_group(const uint8_t* block, int j, const uint8_t* nibbles, Group& group) {
  group.scale = load16(block);
  group.minimum = load16(block + 2) ^ 0x8000;  // the file's is subtracted
  unpack_sub_scales(block + 4, j, group);
  for (int i = 0; i < kGroup; ++i) group.codes[i] = nibbles[j / 2 * 32 + i] >> (j % 2 * 4) & 15;
}

// A group of a type that is repacked without changing a weight.
Group read_codes(TensorType type, const uint8_t* row, int g) {
  Group group;
  switch (type) {
    case TensorType::Q4_0: {
      const uint8_t* block = row + g * 18;
      group.scale = load16(block);
      unpack_nibbles(block + 2, group.codes);
      break;
    }
    case TensorType::Q4_1: {
      const uint8_t* block = row + g * 20;
      group.scale = load16(block);
      group.minimum = load16(block + 2);
      unpack_nibbles(block + 4, group.codes);
      break;
    }
    case TensorType::Q5_0: {
      const uint8_t* block = row + g * 22;
      group.scale = load16(block);
      unpack_five_bits(block + 2, 128 - 16, group.codes);
      break;
    }
    case TensorType::Q5_1: {
      const uint8_t* block = row + g * 24;
      group.scale = load16(block);
      group.minimum = load16(block + 2);
      unpack_five_bits(block + 4, 128, group.codes);
      break;
    }
    case TensorType::Q8_0: {
      const uint8_t* block = row + g * 34;
      group.scale = load16(block);
      for (int i = 0; i < kGroup; ++i) group.codes[i] = block[2 + i] ^ 0x80;
      break;
    }
    case TensorType::Q4_K: {
      const uint8_t* block = row + g / kHeadGroups * 144;
      read_k_group(block, g % kHeadGroups, block + 16, group);
      break;
    }
    default:
      throw ModelFileError("unreachable");
  }
  return group;
}

// The weights of a group as the file has them.
void read_floats(TensorType type, const uint8_t* row, int g, float* out) {
  const int first = g * kGroup, j = g % (kSuper / kGroup);
  switch (type) {
    case TensorType::F32:
      std::memcpy(out, row + size_t{4} * first, 4 * kGroup);
      return;
    case TensorType::F16:
      for (int i = 0; i < kGroup; ++i)
        out[i] = half_to_float(load16(row + size_t{2} * (first + i)));
      return;
    case TensorType::BF16:
      for (int i = 0; i < kGroup; ++i)
        out[i] = bfloat_to_float(load16(row + size_t{2} * (first + i)));
      return;
    case TensorType::Q5_K: {
      const uint8_t* block = row + first / kSuper * 176;
      Group group;
      read_k_group(block, j, block + 48, group);
      const float scale = half_to_float(group.scale) * group.sub_scale;
      const float minimum = half_to_float(group.minimum) * group.sub_minimum;
      for (int i = 0; i < kGroup; ++i) {
        out[i] =
            scale * static_cast<float>(group.codes[i] | (block[16 + i] >> j & 1) << 4) + minimum;
      }
      return;
    }
    case TensorType::Q6_K: {
      // 128 bytes of low nibbles, 64 of upper bit pairs, 16 signed sub-scales, one scale.
      const uint8_t* block = row + first / kSuper * 210;
      const int half = j / 4, part = j % 4;
      const uint8_t *low = block + half * 64 + part % 2 * 32, *high = block + 128 + half * 32;
      for (int i = 0; i < kGroup; ++i) {
        const int code = (low[i] >> (part / 2 * 4) & 15) | (high[i] >> (2 * part) & 3) << 4;
        const auto sub_scale = static_cast<int8_t>(block[192 + half * 8 + part * 2 + i / 16]);
        out[i] = half_to_float(load16(block + 208)) * sub_scale * static_cast<float>(code - 32);
      }
      return;
    }
    default: {
      const Group group = read_codes(type, row, g);
      const int offset = type == TensorType::Q4_0                               ? 8
                         : type == TensorType::Q4_1 || type == TensorType::Q4_K ? 0
                                                                                : 128;
      const float scale = half_to_float(group.scale) * group.sub_scale;
      const float minimum = half_to_float(group.minimum) * group.sub_minimum;
      for (int i = 0; i < kGroup; ++i)
        out[i] = scale * static_cast<float>(group.codes[i] - offset) + minimum;
    }
  }
}

// Real numbers to 8 bits: the scale is rounded to f16 first, so that codes fit what is stored.
Group quantize_group(const float* values) {
  Group group;
  float peak = 0;
  for (int i = 0; i < kGroup; ++i) peak = std::max(peak, std::fabs(values[i]));
  group.scale = float_to_half(peak / 127.0f);
  const float scale = half_to_float(group.scale);
  for (int i = 0; i < kGroup; ++i) {
    const float code = scale > 0 ? std::nearbyint(values[i] / scale) : 0.0f;
    group.codes[i] =
        static_cast<uint8_t>(static_cast<int>(std::clamp(code, -127.0f, 127.0f)) + 128);
  }
  return group;
}

size_t row_bytes(const Tensor& tensor) {
  return tensor.bytes.size() / (tensor.elements() / tensor.shape[0]);
}

Layout layout_for(const Tensor& tensor, bool as_float) {
  const auto unless_float = [&](Layout layout) { return as_float ? Layout::F32 : layout; };
  switch (tensor.type) {
    case TensorType::Q4_0:
      return unless_float(Layout::U4);
    case TensorType::Q4_1:
      return unless_float(Layout::U4M);
    case TensorType::Q4_K:
      return unless_float(Layout::U4K);
    case TensorType::Q5_1:
      return unless_float(Layout::I8M);
    case TensorType::Q5_0:
    case TensorType::Q8_0:
    case TensorType::Q5_K:
    case TensorType::Q6_K:
    case TensorType::F16:
    case TensorType::BF16:
    case TensorType::F32:
      return unless_float(Layout::I8);
    default:
      throw ModelFileError(
          "Tensor '" + tensor.name + "' has weights of " + type_name(tensor.type) +
          ", which this engine does not compute with; Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, "
          "Q8_0, F16, BF16 and F32 are.");
  }
}

bool is_requantized(TensorType type) {
  switch (type) {
    case TensorType::Q5_K:
    case TensorType::Q6_K:
    case TensorType::F16:
    case TensorType::BF16:
    case TensorType::F32:
      return true;
    default:
      return false;
  }
}

Group read_group(TensorType type, const uint8_t* row, int g) {
  if (!is_requantized(type)) return read_codes(type, row, g);
  float values[kGroup];
  read_floats(type, row, g, values);
  return quantize_group(values);
}

}  // namespace

const char* layout_name(Layout layout) {
  switch (layout) {
    case Layout::U4:
      return "4-bit";
    case Layout::U4M:
      return "4-bit with minimum";
    case Layout::U4K:
      return "4-bit with sub-scales and minimum";
    case Layout::I8:
      return "8-bit";
    case Layout::I8M:
      return "8-bit with minimum";
    case Layout::F32:
      return "float32";
  }
  return "";
}

Matrix::Matrix(const Tensor& tensor, bool as_float)
    : layout(layout_for(tensor, as_float)),
      source(tensor.type),
      inputs(static_cast<int>(tensor.shape[0])),
      outputs(static_cast<int>(tensor.elements() / tensor.shape[0])),
      data_(blocks() * block_bytes()) {
  data_.clear();
  const size_t stride = row_bytes(tensor);
  const bool wide = code_bytes(layout) == 1024;
  for (int output = 0; output < outputs; ++output) {
    const uint8_t* row = tensor.bytes.data() + stride * output;
    const int place = output % kBlock, lane = output % kLanes, vector = place / kLanes;
    for (int g = 0; g < groups(); ++g) {
      auto* out = const_cast<uint8_t*>(record(output / kBlock, g));
      if (layout == Layout::F32) {
        float values[kGroup];
        read_floats(tensor.type, row, g, values);
        for (int i = 0; i < kGroup; ++i) std::memcpy(out + 4 * (kBlock * i + place), &values[i], 4);
        continue;
      }
      const Group group = read_group(tensor.type, row, g);
      // Four codes of an output lie side by side, so they move as one word.
      for (int j = 0; j < kGroup / 4; ++j) {
        uint8_t* four = wide ? out + j * 128 + vector * 64 + lane * 4 : out + j * 64 + lane * 4;
        uint32_t codes, word;
        std::memcpy(&codes, group.codes + 4 * j, 4);
        std::memcpy(&word, four, 4);
        word = wide ? codes : word | codes << (4 * vector);
        std::memcpy(four, &word, 4);
      }
      uint8_t* scales = out + code_bytes(layout);
      if (layout == Layout::U4K) {
        scales[place] = group.sub_scale;
        scales[kBlock + place] = group.sub_minimum;
        scales = const_cast<uint8_t*>(head(output / kBlock, g));
      }
      std::memcpy(scales + 2 * place, &group.scale, 2);
      if (has_minimum(layout)) std::memcpy(scales + 64 + 2 * place, &group.minimum, 2);
    }
  }
}

int Matrix::code(int output, int input) const {
  const uint8_t* r = record(output / kBlock, input / kGroup);
  const int i = input % kGroup, lane = output % kLanes, vector = output % kBlock / kLanes;
  if (code_bytes(layout) == 1024) return r[i / 4 * 128 + vector * 64 + lane * 4 + i % 4] - 128;
  const int code = (r[i / 4 * 64 + lane * 4 + i % 4] >> (4 * vector)) & 15;
  return layout == Layout::U4 ? code - 8 : code;
}

float Matrix::scale(int output, int group) const {
  const int place = output % kBlock;
  const uint8_t* scales = record(output / kBlock, group) + code_bytes(layout);
  if (layout != Layout::U4K) return half_to_float(load16(scales + 2 * place));
  return half_to_float(load16(head(output / kBlock, group) + 2 * place)) * scales[place];
}

float Matrix::minimum(int output, int group) const {
  const int place = output % kBlock;
  if (!has_minimum(layout)) return 0.0f;
  const uint8_t* minima = record(output / kBlock, group) + code_bytes(layout);
  if (layout != Layout::U4K) return half_to_float(load16(minima + 64 + 2 * place));
  return half_to_float(load16(head(output / kBlock, group) + 64 + 2 * place)) *
         minima[kBlock + place];
}

float Matrix::weight(int output, int input) const {
  if (layout == Layout::F32) {
    const auto* values = reinterpret_cast<const float*>(record(output / kBlock, input / kGroup));
    return values[kBlock * (input % kGroup) + output % kBlock];
  }
  return scale(output, input / kGroup) * static_cast<float>(code(output, input)) +
         minimum(output, input / kGroup);
}

}  // namespace outrider
