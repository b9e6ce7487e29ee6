// Memory that begins on a cache line; large pieces ask for huge pages.
#pragma once

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace outrider {

template <typename T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t count) : size_(count) {
    if (count == 0) return;
    constexpr size_t huge = size_t{2} << 20;
    const size_t bytes = count * sizeof(T);
    const size_t align = bytes >= huge ? huge : 64;
    void* memory = std::aligned_alloc(align, (bytes + align - 1) / align * align);
    if (!memory) throw std::bad_alloc();
    if (bytes >= huge) madvise(memory, bytes, MADV_HUGEPAGE);
    data_.reset(static_cast<T*>(memory));
  }

  // Room for `count` elements; what was there is lost when it has to grow.
  void need(size_t count) {
    if (count > size_) *this = Buffer(count + count / 2);
  }

  void clear() { std::memset(data_.get(), 0, size_ * sizeof(T)); }

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  T& operator[](size_t i) { return data_.get()[i]; }
  const T& operator[](size_t i) const { return data_.get()[i]; }
  size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> data_;
  size_t size_ = 0;
};

}  // namespace outrider
