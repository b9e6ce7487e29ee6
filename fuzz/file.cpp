// Arbitrary bytes as a model file: the reader, then the checks and the repacking of a model.
#include <cstdint>
#include <memory>
#include <vector>

#include "error.hpp"
#include "gguf.hpp"
#include "model.hpp"

using namespace outrider;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const Gguf file = Gguf::parse({data, size});
    for (const bool as_float : {false, true}) {
      const Model model(file, as_float, 1);
      std::vector<float> row(model.hyper.width);
      model.embed(model.hyper.vocab - 1, row.data());
    }
  } catch (const Error&) {
    // What is wrong with the file has been said.
  }
  return 0;
}
