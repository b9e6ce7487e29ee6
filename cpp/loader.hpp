// Takes the tensors of a model out of its file and repacks them, by several threads.
//
// Matrices are repacked in pieces of some blocks, in the order in which the file has them, and the
// file's pages are let go piece by piece: what is resident beside the repacked weights is about one
// piece a thread, however large the file or one of its tensors is.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "gguf.hpp"
#include "matrix.hpp"

namespace outrider {

// Told by the thread that loads how many of the file's bytes have been repacked: after its first
// piece, then some 20 times a second, and at the end. What it throws ends the loading.
using Progress = std::function<void(size_t done, size_t total)>;

class Loader {
 public:
  Loader(const Gguf& file, bool as_float) : file_(file), as_float_(as_float) {}

  // A vector or matrix of this name and size; throws ModelFileError if the file has none, or has
  // it otherwise. Vectors are read at once, matrices by `finish`.
  void vector(const std::string& name, int n, Buffer<float>& out);
  void matrix(const std::string& name, int inputs, int outputs, Matrix& out);
  // Only where the family has it.
  void vector(bool present, const std::string& name, int n, Buffer<float>& out) {
    if (present) vector(name, n, out);
  }

  // Repack the matrices into one piece of memory, which becomes `weights`. Throws ModelFileError
  // where the file has tensors that nobody took.
  void finish(int threads, const Progress& progress, Buffer<uint8_t>& weights);

  // Of the tensors taken, as the file has them.
  size_t file_bytes() const { return file_bytes_; }
  // Of the matrices, as repacked.
  size_t weight_bytes() const;
  // How many matrices of each kind in the file became which layout.
  std::map<std::string, int> repacked() const;

 private:
  struct Piece {
    const Tensor* tensor;
    Matrix* matrix;
    int first, end;  // blocks

    std::span<const uint8_t> source() const;
  };

  const Tensor& take(const std::string& name, const std::vector<uint64_t>& shape);
  void refuse_the_rest() const;
  void settle(Buffer<uint8_t>& weights) const;

  const Gguf& file_;
  const bool as_float_;
  std::set<std::string> taken_;
  std::vector<Matrix*> matrices_;
  std::vector<Piece> pieces_;
  size_t file_bytes_ = 0;
};

}  // namespace outrider
