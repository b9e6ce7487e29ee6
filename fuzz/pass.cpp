// Arbitrary calls of an engine over a small model, with arguments that are often wrong.
#include <fuzzer/FuzzedDataProvider.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <vector>

#include "engine.hpp"
#include "error.hpp"

using namespace outrider;

namespace {

constexpr int kMaxRows = 24;

// Mostly a small number around what exists; now and then any number.
int32_t number(FuzzedDataProvider& in, int32_t low, int32_t high) {
  return in.ConsumeIntegral<uint8_t>() < 8 ? in.ConsumeIntegral<int32_t>()
                                           : in.ConsumeIntegralInRange<int32_t>(low, high);
}

std::vector<int32_t> numbers(FuzzedDataProvider& in, int32_t low, int32_t high, size_t most) {
  std::vector<int32_t> all(in.ConsumeIntegralInRange<size_t>(0, most));
  for (int32_t& one : all) one = number(in, low, high);
  return all;
}

class Caller {
 public:
  Caller(Engine& engine, FuzzedDataProvider& in)
      : engine_(engine), in_(in), vocab_(engine.model().hyper.vocab) {}
  ~Caller() {
    for (const int64_t id : ids_) engine_.close(id);
    engine_.cache().clear();
  }

  void call() {
    switch (in_.ConsumeIntegralInRange<int>(0, 7)) {
      case 0:
        ids_.push_back(engine_.open(numbers(in_, 0, 2, 40), capacity(), in_.ConsumeBool()).id);
        break;
      case 1:
        ids_.push_back(engine_.fork(sequence(), capacity()).id);
        break;
      case 2:
        engine_.keep(sequence(), numbers(in_, -1, kMaxRows, 6));
        break;
      case 3:
        if (!ids_.empty()) {
          const size_t i = in_.ConsumeIntegralInRange<size_t>(0, ids_.size() - 1);
          engine_.close(ids_[i]);
          ids_.erase(ids_.begin() + static_cast<std::ptrdiff_t>(i));
        }
        break;
      case 4:
        engine_.pretend(sequence(), capacity());
        break;
      default:
        forward();
    }
  }

 private:
  int64_t capacity() { return number(in_, 0, 400); }

  int32_t sequence() {
    const auto count = static_cast<int32_t>(ids_.size());
    const int32_t i = number(in_, -1, count - 1 > -1 ? count - 1 : -1);
    return i >= 0 && i < count ? static_cast<int32_t>(ids_[i]) : i;
  }

  void forward() {
    const size_t n = in_.ConsumeIntegralInRange<size_t>(0, kMaxRows + 1);
    std::vector<int32_t> sequences(n), tokens(n), parents(n);
    const auto commit = std::make_unique<bool[]>(n), want = std::make_unique<bool[]>(n);
    // The rows of one sequence follow one another, each the child of the last, unless told
    // otherwise.
    int32_t at = -1;
    for (size_t i = 0; i < n; ++i) {
      const auto bits = in_.ConsumeIntegral<uint8_t>();
      if (i == 0 || (bits & 7) == 0) {
        at = sequence();
        parents[i] = -1;
      } else {
        parents[i] = (bits >> 3 & 3) == 0 ? number(in_, -1, static_cast<int32_t>(i))
                                          : static_cast<int32_t>(i) - 1;
      }
      sequences[i] = at;
      tokens[i] = number(in_, 0, vocab_ - 1);
      commit[i] = bits >> 5 & 1;
      want[i] = bits >> 6 & 1;
    }
    const int layers = in_.ConsumeBool() ? -1 : number(in_, 0, 3);
    const std::vector<int> hidden = numbers(in_, 0, 2, 3);
    const RowSpans rows{sequences, tokens, parents, {commit.get(), n}, {want.get(), n}};
    engine_.forward(rows, layers, hidden);
    for (size_t i = 0; i < n; ++i) {
      if (want[i] && engine_.logits(static_cast<int>(i)) == nullptr) std::abort();
    }
  }

  Engine& engine_;
  FuzzedDataProvider& in_;
  const int vocab_;
  std::vector<int64_t> ids_;
};

// One engine for each kernel of the machine but the reference, and one with two threads.
std::vector<std::unique_ptr<Engine>> make_engines() {
  const char* path = std::getenv("FUZZ_MODEL");
  if (!path) {
    std::fputs("Set FUZZ_MODEL to the small model that the passes run on.\n", stderr);
    std::exit(2);
  }
  const Gguf file = Gguf::open(path);
  std::vector<std::unique_ptr<Engine>> engines;
  const auto add = [&](const std::string& kernel, int threads) {
    EngineOptions options;
    options.kernel = kernel;
    options.threads = threads;
    options.cache_bytes = size_t{1} << 17;
    options.max_rows = kMaxRows;
    engines.push_back(std::make_unique<Engine>(file, options));
  };
  for (const Kernels* kernels : available_kernels()) {
    if (kernels != &scalar_kernels()) add(kernels->name, 1);
  }
  add("", 2);
  return engines;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto engines = make_engines();
  FuzzedDataProvider in(data, size);
  Caller caller(*engines[in.ConsumeIntegralInRange<size_t>(0, engines.size() - 1)], in);
  while (in.remaining_bytes() > 0) {
    try {
      caller.call();
    } catch (const Error&) {
      // What is wrong with the call has been said.
    }
  }
  return 0;
}
