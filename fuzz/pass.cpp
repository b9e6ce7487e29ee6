// Arbitrary calls of an engine with any kernel and number of threads, beside one with another
// kernel and one thread.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "caller.hpp"

using namespace outrider;

namespace {

// Blocks of 16 positions: more than one sequence takes, or so few that others are forgotten.
constexpr int64_t kRoomy = 90, kTight = 12;

struct Machine {
  std::string kernel;
  int threads;
  bool as_float;
  int64_t cache_blocks;
};

// Every kernel of this machine but the scalar one; several threads, the float mode, a tight cache.
std::vector<Machine> machines() {
  std::vector<Machine> all;
  for (const Kernels* kernels : available_kernels()) {
    if (kernels != &scalar_kernels()) all.push_back({kernels->name, 1, false, kRoomy});
  }
  const std::string best = all.front().kernel;
  all.insert(all.end(), {{best, 2, false, kRoomy},
                         {best, 3, false, kTight},
                         {best, 1, true, kRoomy},
                         {best, 1, false, kTight}});
  return all;
}

// The best kernel but this one.
std::string other_than(const std::string& kernel) {
  const auto all = available_kernels();
  return all[all[0]->name == kernel ? 1 : 0]->name;
}

EngineOptions options(const Gguf& file, const Machine& machine) {
  const Hyperparameters h = Model(file, false, 1).hyper;
  EngineOptions out;
  out.kernel = machine.kernel;
  out.threads = machine.threads;
  out.as_float = machine.as_float;
  out.cache_bytes =
      CacheShape{h.layers, h.kv_heads, h.head_dim}.block_bytes() * machine.cache_blocks;
  out.max_rows = kMaxRows;
  return out;
}

class Workshop {
 public:
  Workshop() {
    const char* folder = std::getenv("FUZZ_MODELS");
    if (!folder) {
      std::fputs("Set FUZZ_MODELS to the folder of small models that fuzz/seeds.py made.\n",
                 stderr);
      std::exit(2);
    }
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      models_.push_back(entry.path());
    std::sort(models_.begin(), models_.end());
  }

  // Made when they are first asked for, and kept.
  Engines& engines(Input& in) {
    const size_t model = in.byte() % models_.size(), machine = in.byte() % machines_.size();
    auto& made = made_[model * machines_.size() + machine];
    if (!made) {
      const Gguf file = Gguf::open(models_[model]);
      const Machine& wanted = machines_[machine];
      Machine other = wanted;
      other.kernel = other_than(wanted.kernel);
      other.threads = 1;
      made.reset(new Engines{.tested{file, options(file, wanted)},
                             .reference{file, options(file, other)}});
    }
    return *made;
  }

 private:
  std::vector<std::filesystem::path> models_;
  std::vector<Machine> machines_ = machines();
  std::map<size_t, std::unique_ptr<Engines>> made_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Workshop workshop;
  Input in(data, size);
  Caller caller(workshop.engines(in), in);
  while (!in.empty()) caller.call_something();
  return 0;
}
