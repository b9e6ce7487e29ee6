#include "loader.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>

#include "error.hpp"
#include "repack.hpp"

namespace outrider {
namespace {

// Of the file in one piece, about: enough that the system is not asked often, little beside a
// model that is worth the trouble.
constexpr size_t kPieceBytes = size_t{1} << 20;

constexpr std::chrono::milliseconds kReportEvery{50};

std::string shape_text(const std::vector<uint64_t>& shape) {
  std::string out;
  for (uint64_t n : shape) out += (out.empty() ? "" : " × ") + std::to_string(n);
  return out;
}

}  // namespace

std::span<const uint8_t> Loader::Piece::source() const { return source_of(*tensor, first, end); }

const Tensor& Loader::take(const std::string& name, const std::vector<uint64_t>& shape) {
  const Tensor* tensor = file_.find(name);
  if (!tensor) throw ModelFileError("The file lacks the tensor '" + name + "'.");
  if (tensor->shape != shape) {
    throw ModelFileError("Tensor '" + name + "' has the shape " + shape_text(tensor->shape) +
                         " where the file's keys ask for " + shape_text(shape) + ".");
  }
  taken_.insert(name);
  file_bytes_ += tensor->bytes.size();
  return *tensor;
}

void Loader::vector(const std::string& name, int n, Buffer<float>& out) {
  const Tensor& tensor = take(name, {static_cast<uint64_t>(n)});
  if (tensor.type != TensorType::F32) {
    throw ModelFileError("Tensor '" + name + "' is of type " + type_name(tensor.type) +
                         "; a vector has to be F32.");
  }
  out = Buffer<float>(n);
  std::memcpy(out.data(), tensor.bytes.data(), tensor.bytes.size());
}

void Loader::matrix(const std::string& name, int inputs, int outputs, Matrix& out) {
  const Tensor& tensor =
      take(name, {static_cast<uint64_t>(inputs), static_cast<uint64_t>(outputs)});
  out = Matrix(tensor, as_float_);
  matrices_.push_back(&out);
  const size_t block = source_of(tensor, 0, 1).size();
  const int step = static_cast<int>(std::max<size_t>(kPieceBytes / block, 1));
  for (int first = 0; first < out.blocks(); first += step)
    pieces_.push_back({&tensor, &out, first, std::min(first + step, out.blocks())});
}

void Loader::refuse_the_rest() const {
  for (const Tensor& tensor : file_.tensors()) {
    if (!taken_.contains(tensor.name)) {
      throw ModelFileError(
          "Tensor '" + tensor.name +
          "' is not part of a model this engine computes; the file is of another kind.");
    }
  }
}

// One piece of memory for all: its pages are huge ones then. Most matrices are smaller than a huge
// page, and with common ones each pass would walk the page tables for every 4 KiB it reads.
void Loader::settle(Buffer<uint8_t>& weights) const {
  weights = Buffer<uint8_t>(weight_bytes());
  uint8_t* place = weights.data();
  for (Matrix* matrix : matrices_) {
    matrix->settle(place);
    place += matrix->bytes();
  }
}

void Loader::finish(int threads, const Progress& progress, Buffer<uint8_t>& weights) {
  refuse_the_rest();
  settle(weights);
  // Disks are fastest, and read ahead, in this order.
  std::sort(pieces_.begin(), pieces_.end(),
            [](const Piece& a, const Piece& b) { return a.source().data() < b.source().data(); });
  size_t total = 0;
  for (const Piece& piece : pieces_) total += piece.source().size();

  std::atomic<size_t> next{0}, done{0};
  std::exception_ptr failure;
  std::mutex guard;
  const auto work = [&](const auto& report) {
    try {
      for (size_t i = next++; i < pieces_.size(); i = next++) {
        const Piece& piece = pieces_[i];
        repack(*piece.tensor, piece.first, piece.end, *piece.matrix);
        file_.release(piece.source());
        done += piece.source().size();
        report();
      }
    } catch (...) {
      next = pieces_.size();  // the others need not go on
      const std::lock_guard lock(guard);
      if (!failure) failure = std::current_exception();
    }
  };
  std::vector<std::thread> helpers;
  for (int t = 1; t < threads; ++t) helpers.emplace_back([&] { work([] {}); });
  std::chrono::steady_clock::time_point reported;  // long ago
  work([&] {
    const auto now = std::chrono::steady_clock::now();
    if (!progress || now - reported < kReportEvery) return;
    reported = now;
    progress(done, total);
  });
  for (std::thread& thread : helpers) thread.join();
  if (failure) std::rethrow_exception(failure);
  // Pages are mapped a few at a time, so that some were again after they had been let go.
  file_.release();
  if (progress) progress(total, total);
}

size_t Loader::weight_bytes() const {
  size_t bytes = 0;
  for (const Matrix* matrix : matrices_) bytes += matrix->bytes();
  return bytes;
}

std::map<std::string, int> Loader::repacked() const {
  std::map<std::string, int> out;
  for (const Matrix* matrix : matrices_)
    ++out[type_name(matrix->source) + " → " + layout_name(matrix->layout)];
  return out;
}

}  // namespace outrider
