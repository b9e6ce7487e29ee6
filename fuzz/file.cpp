// Arbitrary bytes as a model file: the reader, then the checks and the repacking of a model.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "error.hpp"
#include "gguf.hpp"
#include "model.hpp"

using namespace outrider;

namespace {

template <typename Read>
void try_to(const Read& read) {
  try {
    read();
  } catch (const Error&) {
    // What is wrong with the file has been said.
  }
}

void read_keys(const Gguf& file) {
  for (const auto& entry : file.metadata()) {
    const std::string& key = entry.first;
    try_to([&] { file.integer(key); });
    try_to([&] { file.real(key); });
    try_to([&] { file.text(key); });
  }
}

bool is_kept(TensorType type) {
  switch (type) {
    case TensorType::Q4_0:
    case TensorType::Q4_1:
    case TensorType::Q4_K:
    case TensorType::Q5_0:
    case TensorType::Q5_1:
    case TensorType::Q8_0:
      return true;
    default:
      return false;
  }
}

// Types that are repacked without changing a weight mean the same in both layouts.
void compare(const Matrix& packed, const Matrix& exact) {
  if (!is_kept(packed.source)) return;
  for (int output = 0; output < packed.outputs; ++output) {
    for (int input = 0; input < packed.inputs; ++input) {
      const float a = packed.weight(output, input), b = exact.weight(output, input);
      if (a != b && !(std::isnan(a) && std::isnan(b))) std::abort();
    }
  }
}

std::vector<const Matrix*> matrices(const Model& model) {
  std::vector<const Matrix*> all{&model.embedding, &model.head()};
  for (const Layer& layer : model.layers) {
    all.insert(all.end(), {&layer.query, &layer.key, &layer.value, &layer.attention_output,
                           &layer.gate, &layer.up, &layer.down});
  }
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try_to([&] {
    const Gguf file = Gguf::parse({data, size});
    read_keys(file);
    const Model packed(file, false, 1), exact(file, true, 1);
    const auto all = matrices(packed), same = matrices(exact);
    for (size_t i = 0; i < all.size(); ++i) compare(*all[i], *same[i]);
    std::vector<float> row(packed.hyper.width);
    packed.embed(packed.hyper.vocab - 1, row.data());
  });
  return 0;
}
