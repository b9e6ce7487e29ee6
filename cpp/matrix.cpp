#include "matrix.hpp"

#include "half.hpp"
#include "repack.hpp"

namespace outrider {

const char* layout_name(Layout layout) {
  switch (layout) {
    case Layout::U4:
      return "4-bit";
    case Layout::U4M:
      return "4-bit with minimum";
    case Layout::U4K:
      return "4-bit with sub-scales and minimum";
    case Layout::U5:
      return "5-bit";
    case Layout::U5M:
      return "5-bit with minimum";
    case Layout::U5K:
      return "5-bit with sub-scales and minimum";
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
      outputs(static_cast<int>(tensor.elements() / tensor.shape[0])) {}

int Matrix::code(int output, int input) const {
  const uint8_t* r = record(output / kBlock, input / kGroup);
  const int i = input % kGroup, lane = output % kLanes, vector = output % kBlock / kLanes;
  const int step = i / 4, place = lane * 4 + i % 4;
  const int bits = code_bits(layout);
  int code =
      bits == 8 ? r[step * 128 + vector * 64 + place] : (r[step * 64 + place] >> (4 * vector)) & 15;
  if (bits == 5) {
    code |= (r[kFifthBits + step * 16 + vector * 8 + place / 8] >> place % 8 & 1) << 4;
  }
  return code - code_offset(layout);
}

float Matrix::scale(int output, int group) const {
  const int place = output % kBlock;
  const uint8_t* scales = record(output / kBlock, group) + code_bytes(layout);
  if (!has_head(layout)) return half_to_float(load16(scales + 2 * place));
  return half_to_float(load16(head(output / kBlock, group) + 2 * place)) * scales[place];
}

float Matrix::minimum(int output, int group) const {
  const int place = output % kBlock;
  if (!has_minimum(layout)) return 0.0f;
  const uint8_t* minima = record(output / kBlock, group) + code_bytes(layout);
  if (!has_head(layout)) return half_to_float(load16(minima + 64 + 2 * place));
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
