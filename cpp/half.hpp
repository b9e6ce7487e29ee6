// 16-bit floats as bits, converted in software: exact, and rounded to nearest even as the hardware
// instructions do. Used where speed does not matter and by the portable kernels.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace outrider {

inline uint16_t load16(const uint8_t* p) {
  uint16_t value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}

// Without branches, so that compilers convert many at a time.
inline float half_to_float(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
  const uint32_t magnitude = h & 0x7fffu;
  // The exponent's bias is 112 less than that of 32 bits; infinity and what is not a number have
  // the greatest exponent in both, and the latter becomes quiet.
  const uint32_t special = magnitude >= 0x7c00u ? 112u << 23 : 0u;
  const uint32_t quiet = magnitude > 0x7c00u ? 0x400000u : 0u;
  const uint32_t normal = ((magnitude << 13) + (112u << 23) + special) | quiet;
  // A subnormal half is a multiple of 2^-24: as the fraction of a number from 2^-14 on, of which
  // 2^-14 is taken away, it never is a subnormal float, which threads may treat as zero.
  constexpr uint32_t least = 113u << 23;
  const float tiny = std::bit_cast<float>(least + (magnitude << 13)) - std::bit_cast<float>(least);
  const uint32_t subnormal = magnitude < 0x400u ? ~0u : 0u;
  return std::bit_cast<float>(sign | (std::bit_cast<uint32_t>(tiny) & subnormal) |
                              (normal & ~subnormal));
}

inline uint16_t float_to_half(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u)
    return sign | 0x7e00u | static_cast<uint16_t>((magnitude >> 13) & 0x3ffu);
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // rounds up to infinity
  const int exponent = static_cast<int>(magnitude >> 23) - 127;
  if (exponent < -25) return sign;
  uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
  // Normal halves drop 13 bits of the mantissa, subnormal ones more.
  const int drop = exponent >= -14 ? 13 : -exponent - 1;
  const uint32_t half = 1u << (drop - 1);
  const uint32_t rest = mantissa & ((1u << drop) - 1);
  mantissa >>= drop;
  if (rest > half || (rest == half && (mantissa & 1))) ++mantissa;
  // A carry out of the mantissa raises the exponent, as it should.
  if (exponent >= -14) {
    return sign | static_cast<uint16_t>((static_cast<uint32_t>(exponent + 14) << 10) + mantissa);
  }
  return sign | static_cast<uint16_t>(mantissa);
}

inline float bfloat_to_float(uint16_t b) {
  return std::bit_cast<float>(static_cast<uint32_t>(b) << 16);
}

}  // namespace outrider
