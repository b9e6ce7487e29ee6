// A reader of GGUF files (versions 2 and 3, little endian) that trusts nothing it reads.
//
// The file is mapped, not copied; strings, arrays and tensors are views into the mapping. Every
// count and offset is checked against the file before it is used, and what is wrong is said by
// naming the key or tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace outrider {

enum class TensorType : uint32_t {
  F32 = 0,
  F16 = 1,
  Q4_0 = 2,
  Q4_1 = 3,
  Q5_0 = 6,
  Q5_1 = 7,
  Q8_0 = 8,
  Q2_K = 10,
  Q3_K = 11,
  Q4_K = 12,
  Q5_K = 13,
  Q6_K = 14,
  BF16 = 30,
};

std::string type_name(TensorType type);

struct Tensor {
  std::string name;
  TensorType type{};
  // The innermost dimension comes first: a matrix of n outputs over k inputs is {k, n}.
  std::vector<uint64_t> shape;
  std::span<const uint8_t> bytes;

  uint64_t elements() const;
};

// Numbers of an array keep the file's bytes; `type` is GGUF's own value type.
struct Array {
  uint32_t type{};
  uint64_t count{};
  const uint8_t* data{};
  std::vector<std::string_view> strings;
};

using Value = std::variant<uint64_t, int64_t, double, bool, std::string_view, Array>;

class Gguf {
 public:
  // Map and check a file. Throws ModelFileError.
  static Gguf open(const std::string& path);
  // Read from memory that outlives the reader.
  static Gguf parse(std::span<const uint8_t> bytes);

  const std::map<std::string, Value, std::less<>>& metadata() const { return metadata_; }
  const std::vector<Tensor>& tensors() const { return tensors_; }
  const Tensor* find(std::string_view name) const;
  uint64_t size() const { return bytes_.size(); }
  // Let go of the memory that these bytes of the file take. They may still be read: the system
  // fetches them again.
  void release(std::span<const uint8_t> bytes) const;
  void release() const { release(bytes_); }

  // A whole number, a real number or a text under `key`; throws ModelFileError where it is absent
  // (and has no default) or of another kind.
  uint64_t integer(const std::string& key) const;
  uint64_t integer(const std::string& key, uint64_t otherwise) const;
  double real(const std::string& key) const;
  double real(const std::string& key, double otherwise) const;
  std::string text(const std::string& key) const;
  bool has(std::string_view key) const { return metadata_.find(key) != metadata_.end(); }

 private:
  struct Mapping;

  std::shared_ptr<Mapping> mapping_;
  std::span<const uint8_t> bytes_;
  std::map<std::string, Value, std::less<>> metadata_;
  std::vector<Tensor> tensors_;
  std::map<std::string, size_t, std::less<>> by_name_;
};

}  // namespace outrider
