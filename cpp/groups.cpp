#include "groups.hpp"

#include <cstring>

#include "error.hpp"
#include "half.hpp"

namespace outrider {
namespace {

// Q4_0 to Q5_1 keep input i in the low half of byte i, input i + 16 in its high half.
void unpack_nibbles(const uint8_t* packed, uint8_t* codes) {
  uint64_t eight;
  constexpr uint64_t low = 0x0f0f0f0f0f0f0f0f;
  for (int i = 0; i < 16; i += 8) {
    std::memcpy(&eight, packed + i, 8);
    const uint64_t lower = eight & low, upper = eight >> 4 & low;
    std::memcpy(codes + i, &lower, 8);
    std::memcpy(codes + i + 16, &upper, 8);
  }
}

// Q5_0 and Q5_1 keep the fifth bits of a group in a word before the nibbles.
void unpack_five_bits(const uint8_t* packed, uint8_t* codes) {
  uint32_t high;
  std::memcpy(&high, packed, sizeof(high));
  unpack_nibbles(packed + 4, codes);
  for (int i = 0; i < kGroup; ++i) codes[i] = static_cast<uint8_t>(codes[i] | (high >> i & 1) << 4);
}

// The K types keep 256 weights together. Q4_K and Q5_K: two f16 scales, then eight sub-scales and
// eight sub-minima of 6 bits in 12 bytes, the upper bits of the last four above the first four;
// for Q5_K 32 bytes of fifth bits, the group's in one bit of each; then nibbles, two groups in 32
// bytes.
constexpr int kSuperGroups = 8;

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
  const int shift = j % 2 * 4;
  for (int i = 0; i < kGroup; ++i) group.codes[i] = nibbles[j / 2 * 32 + i] >> shift & 15;
}

// What a code stands for; `offset` is taken from it first.
void to_floats(const Group& group, int offset, float* out) {
  const float scale = half_to_float(group.scale) * group.sub_scale;
  const float minimum = half_to_float(group.minimum) * group.sub_minimum;
  for (int i = 0; i < kGroup; ++i)
    out[i] = scale * static_cast<float>(group.codes[i] - offset) + minimum;
}

// Q6_K: 128 bytes of low nibbles, 64 of upper bit pairs, 16 signed sub-scales, one scale.
void read_q6_k(const uint8_t* row, int g, float* out) {
  const uint8_t* block = row + size_t{210} * (g / kSuperGroups);
  const int half = g % kSuperGroups / 4, part = g % 4;
  const uint8_t *low = block + half * 64 + part % 2 * 32, *high = block + 128 + half * 32;
  const int low_shift = part / 2 * 4, high_shift = part * 2;
  const float scale = half_to_float(load16(block + 208));
  for (int k = 0; k < 2; ++k) {
    const auto sub_scale = static_cast<int8_t>(block[192 + half * 8 + part * 2 + k]);
    for (int i = 16 * k; i < 16 * (k + 1); ++i) {
      const int code = (low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4;
      out[i] = scale * sub_scale * static_cast<float>(code - 32);
    }
  }
}

template <typename Read>
void each(Rows rows, const Read& read) {
  for (size_t place = 0; place < rows.size(); ++place) read(rows[place], place);
}

}  // namespace

std::optional<Layout> layout_of(TensorType type) {
  switch (type) {
    case TensorType::Q4_0:
      return Layout::U4;
    case TensorType::Q4_1:
      return Layout::U4M;
    case TensorType::Q4_K:
      return Layout::U4K;
    case TensorType::Q5_0:
      return Layout::U5;
    case TensorType::Q5_1:
      return Layout::U5M;
    case TensorType::Q5_K:
      return Layout::U5K;
    case TensorType::Q8_0:
    case TensorType::Q6_K:
    case TensorType::F16:
    case TensorType::BF16:
    case TensorType::F32:
      return Layout::I8;
    default:
      return std::nullopt;
  }
}

bool is_rounded(TensorType type) {
  switch (type) {
    case TensorType::Q6_K:
    case TensorType::F16:
    case TensorType::BF16:
    case TensorType::F32:
      return true;
    default:
      return false;
  }
}

void read_codes(TensorType type, Rows rows, int g, Group* groups) {
  switch (type) {
    case TensorType::Q4_0:
      return each(rows, [&](const uint8_t* row, size_t place) {
        const uint8_t* block = row + g * 18;
        groups[place].scale = load16(block);
        unpack_nibbles(block + 2, groups[place].codes);
      });
    case TensorType::Q4_1:
      return each(rows, [&](const uint8_t* row, size_t place) {
        const uint8_t* block = row + g * 20;
        groups[place].scale = load16(block);
        groups[place].minimum = load16(block + 2);
        unpack_nibbles(block + 4, groups[place].codes);
      });
    case TensorType::Q5_0:
      return each(rows, [&](const uint8_t* row, size_t place) {
        const uint8_t* block = row + g * 22;
        groups[place].scale = load16(block);
        unpack_five_bits(block + 2, groups[place].codes);
      });
    case TensorType::Q5_1:
      return each(rows, [&](const uint8_t* row, size_t place) {
        const uint8_t* block = row + g * 24;
        groups[place].scale = load16(block);
        groups[place].minimum = load16(block + 2);
        unpack_five_bits(block + 4, groups[place].codes);
      });
    case TensorType::Q8_0:
      return each(rows, [&](const uint8_t* row, size_t place) {
        const uint8_t* block = row + g * 34;
        groups[place].scale = load16(block);
        for (int i = 0; i < kGroup; ++i) groups[place].codes[i] = block[2 + i] ^ 0x80;
      });
    case TensorType::Q4_K:
      return each(rows, [&](const uint8_t* row, size_t place) {
        const uint8_t* block = row + g / kSuperGroups * 144;
        read_k_group(block, g % kSuperGroups, block + 16, groups[place]);
      });
    case TensorType::Q5_K:
      return each(rows, [&](const uint8_t* row, size_t place) {
        const uint8_t* block = row + size_t{176} * (g / kSuperGroups);
        const int j = g % kSuperGroups;
        read_k_group(block, j, block + 48, groups[place]);
        for (int i = 0; i < kGroup; ++i) groups[place].codes[i] |= (block[16 + i] >> j & 1) << 4;
      });
    default:
      throw ModelFileError("unreachable");
  }
}

void read_floats(TensorType type, Rows rows, int g, float (*values)[kGroup]) {
  switch (type) {
    case TensorType::F32:
      return each(rows, [&](const uint8_t* row, size_t place) {
        std::memcpy(values[place], row + sizeof(float) * kGroup * g, sizeof(float) * kGroup);
      });
    case TensorType::F16:
      return each(rows, [&](const uint8_t* row, size_t place) {
        const uint8_t* halves = row + size_t{2} * kGroup * g;
        for (int i = 0; i < kGroup; ++i) values[place][i] = half_to_float(load16(halves + 2 * i));
      });
    case TensorType::BF16:
      return each(rows, [&](const uint8_t* row, size_t place) {
        const uint8_t* halves = row + size_t{2} * kGroup * g;
        for (int i = 0; i < kGroup; ++i) values[place][i] = bfloat_to_float(load16(halves + 2 * i));
      });
    case TensorType::Q6_K:
      return each(rows,
                  [&](const uint8_t* row, size_t place) { read_q6_k(row, g, values[place]); });
    default: {
      Group groups[kBlock] = {};
      for (Group& group : groups) group.sub_scale = group.sub_minimum = 1;
      read_codes(type, rows, g, groups);
      const int offset = code_offset(*layout_of(type));
      each(rows,
           [&](const uint8_t*, size_t place) { to_floats(groups[place], offset, values[place]); });
    }
  }
}

}  // namespace outrider
