#include "gguf.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "error.hpp"

namespace outrider {
namespace {

// GGUF's value types.
enum : uint32_t { U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 };

size_t value_size(uint32_t type) {
  switch (type) {
    case U8:
    case I8:
    case BOOL:
      return 1;
    case U16:
    case I16:
      return 2;
    case U32:
    case I32:
    case F32:
      return 4;
    case U64:
    case I64:
    case F64:
      return 8;
    default:
      return 0;
  }
}

struct TypeInfo {
  const char* name;
  uint64_t elements;  // in one block
  uint64_t bytes;     // of one block
};

// Layouts as the GGUF specification gives them; 0 bytes: a type whose layout we do not know.
TypeInfo type_info(TensorType type) {
  switch (static_cast<uint32_t>(type)) {
    case 0:
      return {"F32", 1, 4};
    case 1:
      return {"F16", 1, 2};
    case 2:
      return {"Q4_0", 32, 18};
    case 3:
      return {"Q4_1", 32, 20};
    case 6:
      return {"Q5_0", 32, 22};
    case 7:
      return {"Q5_1", 32, 24};
    case 8:
      return {"Q8_0", 32, 34};
    case 10:
      return {"Q2_K", 256, 84};
    case 11:
      return {"Q3_K", 256, 110};
    case 12:
      return {"Q4_K", 256, 144};
    case 13:
      return {"Q5_K", 256, 176};
    case 14:
      return {"Q6_K", 256, 210};
    case 30:
      return {"BF16", 1, 2};
    default:
      return {nullptr, 0, 0};
  }
}

std::string quoted(std::string_view text) {
  std::string out = "'";
  for (char c : text.substr(0, 80)) out += (c >= 32 && c < 127) ? c : '?';
  return out + "'";
}

class Cursor {
 public:
  explicit Cursor(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  // What is being read, for the message when it fails.
  void at(std::string what) { what_ = std::move(what); }
  uint64_t left() const { return bytes_.size() - place_; }
  uint64_t place() const { return place_; }

  const uint8_t* take(uint64_t count) {
    if (count > left()) {
      throw ModelFileError("The file ends inside " + what_ +
                           ": it is truncated or not a model; fetch it again.");
    }
    const uint8_t* here = bytes_.data() + place_;
    place_ += count;
    return here;
  }

  template <typename T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof(T)), sizeof(T));
    return value;
  }

  std::string_view string() {
    const uint64_t length = number<uint64_t>();
    return {reinterpret_cast<const char*>(take(length)), length};
  }

 private:
  std::span<const uint8_t> bytes_;
  uint64_t place_ = 0;
  std::string what_ = "its header";
};

Value read_value(Cursor& in, uint32_t type, const std::string& key) {
  switch (type) {
    case U8:
      return uint64_t{in.number<uint8_t>()};
    case I8:
      return int64_t{in.number<int8_t>()};
    case U16:
      return uint64_t{in.number<uint16_t>()};
    case I16:
      return int64_t{in.number<int16_t>()};
    case U32:
      return uint64_t{in.number<uint32_t>()};
    case I32:
      return int64_t{in.number<int32_t>()};
    case U64:
      return in.number<uint64_t>();
    case I64:
      return in.number<int64_t>();
    case F32:
      return double{in.number<float>()};
    case F64:
      return in.number<double>();
    case BOOL:
      return in.number<uint8_t>() != 0;
    case STRING:
      return in.string();
    case ARRAY: {
      Array array;
      array.type = in.number<uint32_t>();
      array.count = in.number<uint64_t>();
      if (array.type == STRING) {
        // Each string takes at least its length field.
        if (array.count > in.left() / sizeof(uint64_t)) in.take(in.left() + 1);
        array.strings.reserve(array.count);
        for (uint64_t i = 0; i < array.count; ++i) array.strings.push_back(in.string());
      } else if (const size_t size = value_size(array.type)) {
        if (array.count > in.left() / size) in.take(in.left() + 1);
        array.data = in.take(array.count * size);
      } else {
        throw ModelFileError("The key " + quoted(key) + " holds an array of a kind (" +
                             std::to_string(array.type) + ") that is not supported.");
      }
      return array;
    }
    default:
      throw ModelFileError("The key " + quoted(key) + " has the unknown value type " +
                           std::to_string(type) +
                           "; the file is damaged or newer than this reader.");
  }
}

// Tensors that share bytes could make a small file ask for any amount of memory.
void check_apart(const std::vector<Tensor>& tensors) {
  std::vector<const Tensor*> by_place;
  for (const Tensor& tensor : tensors) by_place.push_back(&tensor);
  std::sort(by_place.begin(), by_place.end(),
            [](const Tensor* a, const Tensor* b) { return a->bytes.data() < b->bytes.data(); });
  for (size_t i = 1; i < by_place.size(); ++i) {
    const Tensor &before = *by_place[i - 1], &here = *by_place[i];
    if (here.bytes.data() < before.bytes.data() + before.bytes.size()) {
      throw ModelFileError("Tensors " + quoted(before.name) + " and " + quoted(here.name) +
                           " lie on the same bytes; the file is damaged.");
    }
  }
}

const Value& require(const Gguf& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) {
    throw ModelFileError("The file lacks the key " + quoted(key) + ", which this model needs.");
  }
  return found->second;
}

}  // namespace

std::string type_name(TensorType type) {
  const char* name = type_info(type).name;
  return name ? name : "type " + std::to_string(static_cast<uint32_t>(type));
}

uint64_t Tensor::elements() const {
  uint64_t count = 1;
  for (uint64_t n : shape) count *= n;
  return count;
}

struct Gguf::Mapping {
  void* data = MAP_FAILED;
  size_t size = 0;
  ~Mapping() {
    if (data != MAP_FAILED) munmap(data, size);
  }
};

Gguf Gguf::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    throw ModelFileError("The model file " + path + " cannot be opened: " + std::strerror(errno) +
                         ".");
  }
  struct stat status{};
  auto mapping = std::make_shared<Mapping>();
  if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
    mapping->size = static_cast<size_t>(status.st_size);
    mapping->data = mmap(nullptr, mapping->size, PROT_READ, MAP_PRIVATE, fd, 0);
  }
  ::close(fd);
  if (mapping->data == MAP_FAILED) {
    throw ModelFileError("The model file " + path + " is empty or not a regular file.");
  }
  Gguf file = parse({static_cast<const uint8_t*>(mapping->data), mapping->size});
  file.mapping_ = std::move(mapping);
  return file;
}

Gguf Gguf::parse(std::span<const uint8_t> bytes) {
  Gguf file;
  file.bytes_ = bytes;
  Cursor in(bytes);
  if (bytes.size() < 4 || std::memcmp(bytes.data(), "GGUF", 4) != 0) {
    throw ModelFileError("This is not a GGUF file: it does not begin with 'GGUF'.");
  }
  in.take(4);
  const auto version = in.number<uint32_t>();
  if (version != 2 && version != 3) {
    throw ModelFileError("GGUF version " + std::to_string(version) +
                         " is not supported; versions 2 and 3 (little endian) are.");
  }
  const auto tensor_count = in.number<uint64_t>();
  const auto key_count = in.number<uint64_t>();

  for (uint64_t i = 0; i < key_count; ++i) {
    in.at("key " + std::to_string(i + 1) + " of " + std::to_string(key_count));
    const std::string key(in.string());
    in.at("the key " + quoted(key));
    const auto type = in.number<uint32_t>();
    if (!file.metadata_.emplace(key, read_value(in, type, key)).second) {
      throw ModelFileError("The key " + quoted(key) + " stands twice in the file.");
    }
  }

  const uint64_t alignment = file.integer("general.alignment", 32);
  if (alignment == 0 || (alignment & (alignment - 1)) || alignment > (1u << 20)) {
    throw ModelFileError("The key 'general.alignment' is " + std::to_string(alignment) +
                         "; it has to be a power of two.");
  }

  std::vector<uint64_t> offsets;
  for (uint64_t i = 0; i < tensor_count; ++i) {
    in.at("tensor " + std::to_string(i + 1) + " of " + std::to_string(tensor_count));
    Tensor tensor;
    tensor.name = std::string(in.string());
    in.at("the description of tensor " + quoted(tensor.name));
    const auto dimensions = in.number<uint32_t>();
    if (dimensions == 0 || dimensions > 4) {
      throw ModelFileError("Tensor " + quoted(tensor.name) + " has " + std::to_string(dimensions) +
                           " dimensions; 1 to 4 are possible.");
    }
    uint64_t elements = 1;
    for (uint32_t d = 0; d < dimensions; ++d) {
      const auto n = in.number<uint64_t>();
      if (n == 0 || n > std::numeric_limits<uint64_t>::max() / 64 / elements) {
        throw ModelFileError("Tensor " + quoted(tensor.name) + " has an impossible shape.");
      }
      elements *= n;
      tensor.shape.push_back(n);
    }
    tensor.type = static_cast<TensorType>(in.number<uint32_t>());
    offsets.push_back(in.number<uint64_t>());
    if (!file.by_name_.emplace(tensor.name, file.tensors_.size()).second) {
      throw ModelFileError("Tensor " + quoted(tensor.name) + " stands twice in the file.");
    }
    file.tensors_.push_back(std::move(tensor));
  }

  if (tensor_count == 0) return file;
  in.at("the padding before the tensors");
  in.take((alignment - in.place() % alignment) % alignment);
  const auto data = bytes.subspan(in.place());
  for (size_t i = 0; i < file.tensors_.size(); ++i) {
    Tensor& tensor = file.tensors_[i];
    const TypeInfo info = type_info(tensor.type);
    if (!info.bytes) {
      throw ModelFileError("Tensor " + quoted(tensor.name) + " has weights of " +
                           type_name(tensor.type) + ", which is not supported.");
    }
    if (tensor.shape[0] % info.elements) {
      throw ModelFileError("Tensor " + quoted(tensor.name) + " has rows of " +
                           std::to_string(tensor.shape[0]) + " elements, which " + info.name +
                           " cannot hold: it packs " + std::to_string(info.elements) + ".");
    }
    const uint64_t size = tensor.elements() / info.elements * info.bytes;
    if (offsets[i] % alignment) {
      throw ModelFileError("Tensor " + quoted(tensor.name) + " does not begin on a multiple of " +
                           std::to_string(alignment) + " bytes; the file is damaged.");
    }
    if (offsets[i] > data.size() || size > data.size() - offsets[i]) {
      throw ModelFileError("Tensor " + quoted(tensor.name) +
                           " reaches beyond the end of the file: it is truncated; fetch it again.");
    }
    tensor.bytes = data.subspan(offsets[i], size);
  }
  check_apart(file.tensors_);
  return file;
}

void Gguf::release(std::span<const uint8_t> bytes) const {
  if (!mapping_ || bytes.empty()) return;  // memory of others' would lose what it holds
  static const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  // A page at the border goes as a whole: nothing is lost with it, and left alone by both of its
  // neighbours it would stay.
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data()) / page * page;
  const auto end = reinterpret_cast<uintptr_t>(bytes.data() + bytes.size());
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

const Tensor* Gguf::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

uint64_t Gguf::integer(const std::string& key) const {
  const Value& value = require(*this, key);
  if (const auto* n = std::get_if<uint64_t>(&value)) return *n;
  if (const auto* n = std::get_if<int64_t>(&value); n && *n >= 0) return static_cast<uint64_t>(*n);
  throw ModelFileError("The key " + quoted(key) + " has to be one whole number of at least 0.");
}

uint64_t Gguf::integer(const std::string& key, uint64_t otherwise) const {
  return has(key) ? integer(key) : otherwise;
}

double Gguf::real(const std::string& key) const {
  const Value& value = require(*this, key);
  if (const auto* x = std::get_if<double>(&value)) return *x;
  return static_cast<double>(integer(key));
}

double Gguf::real(const std::string& key, double otherwise) const {
  return has(key) ? real(key) : otherwise;
}

std::string Gguf::text(const std::string& key) const {
  if (const auto* s = std::get_if<std::string_view>(&require(*this, key))) return std::string(*s);
  throw ModelFileError("The key " + quoted(key) + " has to be a text.");
}

}  // namespace outrider
