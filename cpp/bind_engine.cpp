// Python's view of the file reader and the engine.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <mutex>
#include <optional>

#include "bandwidth.hpp"
#include "engine.hpp"
#include "error.hpp"
#include "gguf.hpp"
#include "sampling.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace outrider;

namespace {

template <typename T>
using Vector = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <typename T>
std::span<const T> span(const Vector<T>& array) {
  return {array.data(), array.shape(0)};
}

template <typename T, size_t N>
nb::ndarray<nb::numpy, T> new_array(const std::array<size_t, N>& shape, T*& data) {
  size_t size = 1;
  for (size_t n : shape) size *= n;
  data = new T[size];
  nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
  return nb::ndarray<nb::numpy, T>(data, N, shape.data(), owner);
}

// Text of a file need not be valid UTF-8; surrogates keep what is not.
nb::object text(std::string_view s) {
  return nb::steal(
      PyUnicode_DecodeUTF8(s.data(), static_cast<Py_ssize_t>(s.size()), "surrogateescape"));
}

nb::object to_python(const Value& value) {
  if (const auto* s = std::get_if<std::string_view>(&value)) return text(*s);
  if (const auto* array = std::get_if<Array>(&value)) {
    nb::list list;
    for (const std::string_view s : array->strings) list.append(text(s));
    const auto number = [&]<typename T>(T) {
      for (uint64_t i = 0; i < array->count; ++i) {
        T item;
        std::memcpy(&item, array->data + i * sizeof(T), sizeof(T));
        list.append(nb::cast(item));
      }
    };
    switch (array->type) {
      case 0:
        number(uint8_t{});
        break;
      case 1:
        number(int8_t{});
        break;
      case 2:
        number(uint16_t{});
        break;
      case 3:
        number(int16_t{});
        break;
      case 4:
        number(uint32_t{});
        break;
      case 5:
        number(int32_t{});
        break;
      case 6:
        number(float{});
        break;
      case 7:
        for (uint64_t i = 0; i < array->count; ++i) list.append(nb::bool_(array->data[i] != 0));
        break;
      case 10:
        number(uint64_t{});
        break;
      case 11:
        number(int64_t{});
        break;
      case 12:
        number(double{});
        break;
      default:
        break;
    }
    return list;
  }
  return std::visit(
      [](const auto& v) -> nb::object {
        if constexpr (std::is_arithmetic_v<std::decay_t<decltype(v)>>) return nb::cast(v);
        return nb::none();
      },
      value);
}

// The engine and the lock that keeps two threads of Python from using it at once.
class SharedEngine {
 public:
  SharedEngine(const Gguf& file, const EngineOptions& options) : engine_(file, options) {}

  template <typename F>
  auto with(const F& use) {
    const nb::gil_scoped_release release;
    const std::lock_guard lock(guard_);
    return use(engine_);
  }

  // What never changes needs no lock.
  const Engine& fixed() const { return engine_; }

 private:
  std::mutex guard_;
  Engine engine_;
};

// A sequence by its number; what changes is asked of the engine.
struct SequenceHandle {
  std::shared_ptr<SharedEngine> engine;
  int64_t id;
  int64_t cached;

  SequenceHandle(std::shared_ptr<SharedEngine> owner, const CachedSequence& s)
      : engine(std::move(owner)), id(s.id), cached(s.cached) {}
  int64_t length() const {
    return engine->with([this](Engine& e) { return e.cache().find(id).length; });
  }
};

// Which pass a question is about: the engine keeps the outcome of the last one only.
class PassHandle {
 public:
  PassHandle(std::shared_ptr<SharedEngine> engine, uint64_t number)
      : engine_(std::move(engine)), number_(number) {}

  template <typename F>
  auto with(const F& use) const {
    return engine_->with([&](Engine& engine) {
      if (engine.outcome().number != number_) {
        throw UsageError(
            "This pass is over: its logits were valid until the next call of forward.");
      }
      return use(engine);
    });
  }

 private:
  std::shared_ptr<SharedEngine> engine_;
  uint64_t number_;
};

void check_sampler(const Engine& engine, const Sampler& sampler) {
  if (sampler.vocab_size() != engine.model().hyper.vocab) {
    throw UsageError("A sampler for a vocabulary of " + std::to_string(sampler.vocab_size()) +
                     " cannot choose from the " + std::to_string(engine.model().hyper.vocab) +
                     " tokens of this model.");
  }
}

// Follow the target's own choices down a tree; see Pass.walk in outrider.engines.base.
std::pair<std::vector<int>, int> walk(const Engine& engine, int root, int64_t position,
                                      const std::vector<int32_t>& tokens,
                                      const std::vector<int32_t>& parents, Sampler& sampler) {
  check_sampler(engine, sampler);
  if (tokens.size() != parents.size())
    throw UsageError("A tree's tokens and parents differ in length.");
  std::vector<int> accepted;
  std::vector<int32_t> path;
  int node = -1;
  while (true) {
    const int token =
        sampler.choose(engine.logits(root + 1 + node), position + static_cast<int64_t>(path.size()),
                       path.data(), path.size(), nullptr);
    int next = -1;
    for (int i = node + 1; i < static_cast<int>(tokens.size()) && next < 0; ++i) {
      if (parents[i] == node && tokens[i] == token) next = i;
    }
    if (next < 0) return {accepted, token};
    accepted.push_back(next);
    path.push_back(token);
    node = next;
  }
}

}  // namespace

void bind_engine(nb::module_& m) {
  nb::class_<Gguf>(m, "Gguf", "A GGUF file, mapped and checked.")
      .def(nb::new_([](const nb::bytes& path) {
             return Gguf::open(std::string(path.c_str(), path.size()));
           }),
           "path"_a)
      .def_prop_ro("size", &Gguf::size, "Bytes of the file.")
      .def(
          "metadata",
          [](const Gguf& file) {
            nb::dict out;
            for (const auto& [key, value] : file.metadata()) out[text(key)] = to_python(value);
            return out;
          },
          "Every key with its value.")
      .def(
          "tensors",
          [](const Gguf& file) {
            nb::list out;
            for (const Tensor& t : file.tensors()) {
              out.append(nb::make_tuple(text(t.name), type_name(t.type), t.shape, t.bytes.size()));
            }
            return out;
          },
          "(name, type, shape with the innermost dimension first, bytes) of every tensor.");

  nb::class_<SequenceHandle>(m, "CachedSequence", "A sequence in the cache.")
      .def_ro("id", &SequenceHandle::id)
      .def_prop_ro("length", &SequenceHandle::length)
      .def_ro("cached", &SequenceHandle::cached);

  nb::class_<PassHandle>(m, "Pass", "The outcome of the last pass.")
      .def(
          "logits",
          [](const PassHandle& pass, const std::vector<int>& rows) {
            float* data = nullptr;
            const size_t vocab =
                pass.with([](Engine& e) { return static_cast<size_t>(e.model().hyper.vocab); });
            auto out = new_array<float, 2>({rows.size(), vocab}, data);
            pass.with([&](Engine& e) {
              for (size_t i = 0; i < rows.size(); ++i)
                std::copy_n(e.logits(rows[i]).values, vocab, data + i * vocab);
              return 0;
            });
            return out;
          },
          "rows"_a)
      .def(
          "hidden",
          [](const PassHandle& pass, const std::vector<int>& rows) {
            const auto [layers, width] = pass.with([](Engine& e) {
              return std::pair(e.outcome().hidden_layers.size(),
                               static_cast<size_t>(e.model().hyper.width));
            });
            float* data = nullptr;
            auto out = new_array<float, 3>({layers, rows.size(), width}, data);
            pass.with([&, layers = layers, width = width](Engine& e) {
              const Outcome& outcome = e.outcome();
              for (size_t l = 0; l < layers; ++l) {
                for (size_t i = 0; i < rows.size(); ++i) {
                  if (rows[i] < 0 || rows[i] >= outcome.rows)
                    throw UsageError("There is no such row in this pass.");
                  std::copy_n(outcome.hidden.data() + (l * outcome.rows + rows[i]) * width, width,
                              data + (l * rows.size() + i) * width);
                }
              }
              return 0;
            });
            return out;
          },
          "rows"_a)
      .def(
          "walk",
          [](const PassHandle& pass, int root, int64_t position, const std::vector<int32_t>& tokens,
             const std::vector<int32_t>& parents, Sampler& sampler) {
            return pass.with(
                [&](Engine& e) { return walk(e, root, position, tokens, parents, sampler); });
          },
          "root"_a, "position"_a, "tokens"_a, "parents"_a, "sampler"_a)
      .def(
          "choose",
          [](const PassHandle& pass, int row, Sampler& sampler, int64_t position,
             const std::vector<int32_t>& path, std::optional<Vector<uint32_t>> mask) {
            return pass.with([&](Engine& e) {
              check_sampler(e, sampler);
              if (mask &&
                  mask->shape(0) != (static_cast<size_t>(e.model().hyper.vocab) + 31) / 32) {
                throw UsageError("A mask of " + std::to_string(mask->shape(0)) +
                                 " words does not fit this vocabulary.");
              }
              return sampler.choose(e.logits(row), position, path.data(), path.size(),
                                    mask ? mask->data() : nullptr);
            });
          },
          "row"_a, "sampler"_a, "position"_a, "path"_a, "mask"_a.none())
      .def(
          "logprob",
          [](const PassHandle& pass, int row, int token) {
            return pass.with(
                [&](Engine& e) { return logprob(e.logits(row), e.model().hyper.vocab, token); });
          },
          "row"_a, "token"_a)
      .def(
          "top",
          [](const PassHandle& pass, int row, int k) {
            const int vocab = pass.with([](Engine& e) { return e.model().hyper.vocab; });
            // Before there is memory for them; `top` refuses the rest.
            if (k > vocab)
              throw UsageError("There are not " + std::to_string(k) +
                               " tokens in this vocabulary.");
            std::vector<int32_t> ids(std::max(k, 0));
            std::vector<double> values(std::max(k, 0));
            pass.with([&](Engine& e) {
              top(e.logits(row), vocab, k, ids.data(), values.data());
              return 0;
            });
            return std::pair(ids, values);
          },
          "row"_a, "k"_a)
      .def(
          "best",
          [](const PassHandle& pass, const std::vector<int>& rows, int k) {
            const int vocab = pass.with([](Engine& e) { return e.model().hyper.vocab; });
            if (k < 0 || k > vocab) {
              throw UsageError("There are not " + std::to_string(k) +
                               " tokens in this vocabulary.");
            }
            const auto width = static_cast<size_t>(k);
            int32_t* ids = nullptr;
            float* values = nullptr;
            auto ids_array = new_array<int32_t, 2>({rows.size(), width}, ids);
            auto values_array = new_array<float, 2>({rows.size(), width}, values);
            pass.with([&](Engine& e) {
              for (size_t i = 0; i < rows.size(); ++i) {
                best(e.logits(rows[i]), vocab, k, ids + i * width, values + i * width);
              }
              return 0;
            });
            return nb::make_tuple(ids_array, values_array);
          },
          "rows"_a, "k"_a)
      .def(
          "phases",
          [](const PassHandle& pass) {
            const auto seconds = pass.with([](Engine& e) { return e.outcome().seconds; });
            nb::dict ms;
            for (int i = 0; i < kPhases; ++i) ms[kPhaseNames[i]] = seconds[i] * 1000;
            return ms;
          },
          "Milliseconds of the pass by what they went to.");

  nb::class_<MemoryReader>(m, "MemoryReader", "Memory that is read slice by slice.")
      .def(nb::init<int, size_t>(), "threads"_a, "bytes"_a,
           nb::call_guard<nb::gil_scoped_release>())
      // The interpreter lock is kept: a slice takes milliseconds, and one thread reads at a time.
      .def("read", &MemoryReader::read, "bytes"_a, "Bytes a second of the next slice.");

  nb::class_<SharedEngine>(m, "Engine", "The native engine.")
      .def(nb::new_([](const Gguf& file, bool as_float, int threads, const std::string& kernel,
                       int64_t context, size_t cache_bytes, int max_rows,
                       const nb::object& progress) {
             const auto report = [&progress](size_t done, size_t total) {
               const nb::gil_scoped_acquire acquire;
               // An interrupt ends the loading too.
               if (PyErr_CheckSignals()) throw nb::python_error();
               if (!progress.is_none()) progress(done, total);
             };
             const nb::gil_scoped_release release;
             return std::make_shared<SharedEngine>(
                 file,
                 EngineOptions{as_float, threads, kernel, context, cache_bytes, max_rows, report});
           }),
           "file"_a, "as_float"_a, "threads"_a, "kernel"_a, "context"_a, "cache_bytes"_a,
           "max_rows"_a, "progress"_a.none() = nb::none())
      .def(
          "open",
          [](std::shared_ptr<SharedEngine> engine, const std::vector<int32_t>& tokens,
             int64_t capacity, bool share) {
            return engine->with(
                [&](Engine& e) { return SequenceHandle(engine, e.open(tokens, capacity, share)); });
          },
          "tokens"_a, "capacity"_a, "share"_a)
      .def(
          "fork",
          [](std::shared_ptr<SharedEngine> engine, int64_t id, int64_t capacity) {
            return engine->with(
                [&](Engine& e) { return SequenceHandle(engine, e.fork(id, capacity)); });
          },
          "id"_a, "capacity"_a)
      .def(
          "close",
          [](SharedEngine& engine, int64_t id) {
            engine.with([&](Engine& e) {
              e.close(id);
              return 0;
            });
          },
          "id"_a)
      .def(
          "forward",
          [](std::shared_ptr<SharedEngine> engine, const Vector<int32_t>& sequence,
             const Vector<int32_t>& token, const Vector<int32_t>& parent,
             const Vector<bool>& commit, const Vector<bool>& want_logits, int layers,
             const std::vector<int>& hidden) {
            const uint64_t number = engine->with([&](Engine& e) {
              e.forward(
                  {span(sequence), span(token), span(parent), span(commit), span(want_logits)},
                  layers, hidden);
              return e.outcome().number;
            });
            return PassHandle(engine, number);
          },
          "sequence"_a, "token"_a, "parent"_a, "commit"_a, "want_logits"_a, "layers"_a = -1,
          "hidden"_a = std::vector<int>{})
      .def(
          "keep",
          [](SharedEngine& engine, int64_t id, const std::vector<int32_t>& rows) {
            engine.with([&](Engine& e) {
              e.keep(id, rows);
              return 0;
            });
          },
          "id"_a, "rows"_a)
      .def(
          "pretend",
          [](SharedEngine& engine, int64_t id, int64_t length) {
            engine.with([&](Engine& e) {
              e.pretend(id, length);
              return 0;
            });
          },
          "id"_a, "length"_a, "Give an empty sequence a made-up history, to measure long contexts.")
      .def("clear_cache",
           [](SharedEngine& engine) {
             engine.with([](Engine& e) {
               e.cache().clear();
               return 0;
             });
           })
      .def_prop_ro("kernel",
                   [](const SharedEngine& e) { return std::string(e.fixed().kernels().name); })
      .def_prop_ro("threads", [](const SharedEngine& e) { return e.fixed().threads(); })
      .def_prop_ro("context", [](const SharedEngine& e) { return e.fixed().context(); })
      .def_prop_ro("max_rows", [](const SharedEngine& e) { return e.fixed().max_rows(); })
      .def_prop_ro("vocab_size",
                   [](const SharedEngine& e) { return e.fixed().model().hyper.vocab; })
      .def_prop_ro("layers", [](const SharedEngine& e) { return e.fixed().model().hyper.layers; })
      .def_prop_ro("width", [](const SharedEngine& e) { return e.fixed().model().hyper.width; })
      .def_prop_ro("repacked", [](const SharedEngine& e) { return e.fixed().model().repacked; })
      .def_prop_ro("weight_bytes",
                   [](const SharedEngine& e) { return e.fixed().model().weight_bytes; })
      .def_prop_ro("layer_bytes",
                   [](const SharedEngine& e) { return e.fixed().model().layer_bytes; })
      .def_prop_ro("output_bytes",
                   [](const SharedEngine& e) { return e.fixed().model().head().bytes(); })
      .def(
          "history_bytes",
          [](const SharedEngine& e, int64_t length) { return e.fixed().history_bytes(length); },
          "length"_a, "Bytes of the cache that a row behind so many tokens of history reads.")
      .def_prop_ro("file_bytes", [](const SharedEngine& e) { return e.fixed().model().file_bytes; })
      .def_prop_ro(
          "token_bytes",
          [](SharedEngine& engine) {
            return engine.with([](Engine& e) { return e.cache().shape().block_bytes() / kTile; });
          })
      .def_prop_ro("cache_blocks",
                   [](SharedEngine& engine) {
                     return engine.with([](Engine& e) { return e.cache().blocks(); });
                   })
      .def_prop_ro("free_blocks", [](SharedEngine& engine) {
        return engine.with([](Engine& e) { return e.cache().free_blocks(); });
      });

  m.attr("BLOCK_TOKENS") = kTile;
  m.def("kernels", [] {
    std::vector<std::string> names;
    for (const Kernels* k : available_kernels()) names.emplace_back(k->name);
    return names;
  });
  m.def(
      "read_bandwidth",
      [](int threads, size_t bytes, int rounds) {
        const nb::gil_scoped_release release;
        return read_bandwidth(threads, bytes, rounds);
      },
      "threads"_a, "bytes"_a, "rounds"_a, "Bytes a second of the best reading.");
}
