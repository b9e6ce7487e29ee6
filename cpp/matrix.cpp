#include "matrix.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "error.hpp"
#include "half.hpp"

namespace outrider {
namespace {

uint16_t load16(const uint8_t* p) {
  uint16_t value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}

// One group of 32 weights of one output, as the file has it.
struct Group {
  uint8_t codes[kGroup];  // as stored in the layout (I8: offset by 128)
  uint16_t scale = 0;     // f16 bits
  uint16_t minimum = 0;
};

// Q4_0 and Q4_1 keep input i in the low half of byte i, input i + 16 in its high half.
void unpack_nibbles(const uint8_t* packed, uint8_t* codes) {
  for (int i = 0; i < 16; ++i) {
    codes[i] = packed[i] & 15;
    codes[i + 16] = packed[i] >> 4;
  }
}

// What 8 bits and the greatest scale of 16 bits reach.
constexpr float kGreatest = 127.0f * 65504.0f;

// Real numbers to 8 bits: the scale is rounded to f16 first, so that codes fit what is stored.
void quantize_group(const float* values, Group& group) {
  float peak = 0;
  for (int i = 0; i < kGroup; ++i) peak = std::max(peak, std::fabs(values[i]));
  group.scale = float_to_half(peak / 127.0f);
  const float scale = half_to_float(group.scale);
  for (int i = 0; i < kGroup; ++i) {
    const float code = scale > 0 ? std::nearbyint(values[i] / scale) : 0.0f;
    group.codes[i] = static_cast<uint8_t>(static_cast<int>(std::clamp(code, -127.0f, 127.0f)) + 128);
  }
}

size_t row_bytes(const Tensor& tensor) { return tensor.bytes.size() / (tensor.elements() / tensor.shape[0]); }

void read_floats(TensorType type, const uint8_t* row, int first, int count, float* out) {
  for (int i = 0; i < count; ++i) {
    const int k = first + i;
    switch (type) {
      case TensorType::F32:
        std::memcpy(out + i, row + size_t{4} * k, 4);
        break;
      case TensorType::F16:
        out[i] = half_to_float(load16(row + size_t{2} * k));
        break;
      case TensorType::BF16:
        out[i] = bfloat_to_float(load16(row + size_t{2} * k));
        break;
      case TensorType::Q4_0: {
        const uint8_t* block = row + k / 32 * 18;
        const int j = k % 32;
        const int code = j < 16 ? block[2 + j] & 15 : block[2 + j - 16] >> 4;
        out[i] = half_to_float(load16(block)) * static_cast<float>(code - 8);
        break;
      }
      case TensorType::Q4_1: {
        const uint8_t* block = row + k / 32 * 20;
        const int j = k % 32;
        const int code = j < 16 ? block[4 + j] & 15 : block[4 + j - 16] >> 4;
        out[i] = half_to_float(load16(block)) * static_cast<float>(code) + half_to_float(load16(block + 2));
        break;
      }
      case TensorType::Q8_0: {
        const uint8_t* block = row + k / 32 * 34;
        out[i] = half_to_float(load16(block)) * static_cast<float>(static_cast<int8_t>(block[2 + k % 32]));
        break;
      }
      default:
        throw ModelFileError("unreachable");
    }
  }
}

Layout layout_for(const Tensor& tensor, bool as_float) {
  switch (tensor.type) {
    case TensorType::Q4_0:
      return as_float ? Layout::F32 : Layout::U4;
    case TensorType::Q4_1:
      return as_float ? Layout::F32 : Layout::U4M;
    case TensorType::Q8_0:
    case TensorType::F16:
    case TensorType::BF16:
    case TensorType::F32:
      return as_float ? Layout::F32 : Layout::I8;
    default:
      throw ModelFileError("Tensor '" + tensor.name + "' has weights of " + type_name(tensor.type) +
                           ", which this engine does not compute with; Q4_0, Q4_1, Q8_0, F16, BF16 and F32 are.");
  }
}

Group read_group(const Tensor& tensor, const uint8_t* row, int g) {
  Group group;
  switch (tensor.type) {
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
    case TensorType::Q8_0: {
      const uint8_t* block = row + g * 34;
      group.scale = load16(block);
      for (int i = 0; i < kGroup; ++i) group.codes[i] = block[2 + i] ^ 0x80;
      break;
    }
    default: {
      float values[kGroup];
      read_floats(tensor.type, row, g * kGroup, kGroup, values);
      for (const float value : values) {
        // Not a number is not at most anything.
        if (!(std::fabs(value) <= kGreatest)) {
          throw ModelFileError("Tensor '" + tensor.name + "' holds a weight that is not a finite number of at most " +
                               std::to_string(static_cast<int>(kGreatest)) + "; the file is damaged.");
        }
      }
      quantize_group(values, group);
    }
  }
  return group;
}

}  // namespace

const char* layout_name(Layout layout) {
  switch (layout) {
    case Layout::U4:
      return "4-bit";
    case Layout::U4M:
      return "4-bit with minimum";
    case Layout::I8:
      return "8-bit";
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
      data_(static_cast<size_t>(blocks()) * groups() * record_bytes(layout)) {
  data_.clear();
  const size_t stride = row_bytes(tensor);
  for (int output = 0; output < outputs; ++output) {
    const uint8_t* row = tensor.bytes.data() + stride * output;
    const int lane = output % kLanes, vector = output % kBlock / kLanes;
    for (int g = 0; g < groups(); ++g) {
      uint8_t* record = const_cast<uint8_t*>(this->record(output / kBlock, g));
      if (layout == Layout::F32) {
        float values[kGroup];
        read_floats(tensor.type, row, g * kGroup, kGroup, values);
        float* out = reinterpret_cast<float*>(record) + output % kBlock;
        for (int i = 0; i < kGroup; ++i) out[size_t{kBlock} * i] = values[i];
        continue;
      }
      const Group group = read_group(tensor, row, g);
      const bool wide = layout == Layout::I8;
      // Four codes of an output lie side by side, so they move as one word.
      for (int j = 0; j < kGroup / 4; ++j) {
        uint8_t* place = wide ? record + j * 128 + vector * 64 + lane * 4 : record + j * 64 + lane * 4;
        uint32_t codes, word;
        std::memcpy(&codes, group.codes + 4 * j, 4);
        std::memcpy(&word, place, 4);
        word = wide ? codes : word | codes << (4 * vector);
        std::memcpy(place, &word, 4);
      }
      uint8_t* scales = record + (wide ? 1024 : 512);
      std::memcpy(scales + 2 * (output % kBlock), &group.scale, 2);
      if (layout == Layout::U4M) std::memcpy(scales + 64 + 2 * (output % kBlock), &group.minimum, 2);
    }
  }
}

int Matrix::code(int output, int input) const {
  const uint8_t* r = record(output / kBlock, input / kGroup);
  const int i = input % kGroup, lane = output % kLanes, vector = output % kBlock / kLanes;
  if (layout == Layout::I8) return r[i / 4 * 128 + vector * 64 + lane * 4 + i % 4] - 128;
  const int code = (r[i / 4 * 64 + lane * 4 + i % 4] >> (4 * vector)) & 15;
  return layout == Layout::U4 ? code - 8 : code;
}

float Matrix::scale(int output, int group) const {
  const uint8_t* r = record(output / kBlock, group) + (layout == Layout::I8 ? 1024 : 512);
  return half_to_float(load16(r + 2 * (output % kBlock)));
}

float Matrix::minimum(int output, int group) const {
  return layout == Layout::U4M
             ? half_to_float(load16(record(output / kBlock, group) + 576 + 2 * (output % kBlock)))
             : 0.0f;
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
