// Calls of two engines over the same model, which have to answer alike.
//
// Most calls are right, so that what is deep is reached; the others have a number in them that is
// anything.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "engine.hpp"
#include "error.hpp"
#include "input.hpp"

namespace outrider {

constexpr int kMaxRows = 40;

struct Rows {
  std::vector<int32_t> sequence, token, parent;
  std::vector<uint8_t> commit, want_logits;  // a vector of bool is no array

  int add(int32_t of, int32_t what, int32_t after, bool becomes_history, bool wanted) {
    sequence.push_back(of);
    token.push_back(what);
    parent.push_back(after);
    commit.push_back(becomes_history);
    want_logits.push_back(wanted);
    return static_cast<int>(token.size()) - 1;
  }

  RowSpans spans() const {
    const auto flags = [](const std::vector<uint8_t>& bytes) {
      return std::span(reinterpret_cast<const bool*>(bytes.data()), bytes.size());
    };
    return {sequence, token, parent, flags(commit), flags(want_logits)};
  }
};

struct Engines {
  Engine tested, reference;
};

class Caller {
 public:
  Caller(Engines& engines, Input& in)
      : engines_(engines), in_(in), vocab_(engines.tested.model().hyper.vocab) {}
  ~Caller() {
    for (const Open& one : open_) call([&](Engine& engine) { engine.close(one.id); });
    call([](Engine& engine) { engine.cache().clear(); });
  }

  void call_something() {
    switch (in_.below(16)) {
      case 0:
      case 1:
        open();
        break;
      case 2:
        fork();
        break;
      case 3:
        close();
        break;
      case 4:
        pretend();
        break;
      case 5:
      case 6:
      case 7:
      case 8:
        keep();
        break;
      case 9:
        call([](Engine& engine) { engine.cache().clear(); });
        break;
      case 10:
        ask();
        break;
      default:
        forward();
    }
  }

 private:
  struct Open {
    int64_t id;
    int64_t capacity;
  };

  // Do the same to both engines. They have to refuse alike.
  template <typename Do>
  bool call(const Do& what) {
    const auto refusal = [&](Engine& engine) -> std::string {
      try {
        what(engine);
        return "";
      } catch (const Error& error) {
        return error.what();
      }
    };
    const std::string one = refusal(engines_.tested), other = refusal(engines_.reference);
    if (one != other ||
        engines_.tested.cache().free_blocks() != engines_.reference.cache().free_blocks()) {
      std::fprintf(stderr, "'%s' is not '%s'\n", one.c_str(), other.c_str());
      std::abort();
    }
    return one.empty();
  }

  // Mostly the number that fits, now and then one beside it or any.
  int64_t about(int64_t right) {
    const uint8_t how = in_.byte();
    return how < 240 ? right : how < 248 ? right + how - 244 : in_.any();
  }

  // What stands at a position of every text, so that texts have beginnings in common.
  int32_t text(int64_t position) const {
    return static_cast<int32_t>((position * position / 5 + 3 * position) % vocab_);
  }

  const Open* some() {
    return open_.empty() ? nullptr : &open_[in_.below(static_cast<int32_t>(open_.size()))];
  }

  int64_t id_of(const Open* one) { return about(one ? one->id : 0); }

  int64_t length_of(const Open& one) { return engines_.reference.cache().find(one.id).length; }

  // Takes up what `make` has opened in both engines.
  template <typename Make>
  void take(int64_t capacity, const Make& make) {
    int64_t id = 0;
    if (call([&](Engine& engine) { id = make(engine).id; })) open_.push_back({id, capacity});
  }

  void open() {
    std::vector<int32_t> tokens(in_.below(100));
    for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = text(static_cast<int64_t>(i));
    if (!tokens.empty() && in_.rarely()) tokens[in_.byte() % tokens.size()] = in_.any();
    const int64_t capacity = about(static_cast<int64_t>(tokens.size()) + in_.below(1300));
    const bool share = !in_.rarely();
    take(capacity,
         [&](Engine& engine) -> CachedSequence& { return engine.open(tokens, capacity, share); });
  }

  void fork() {
    const Open* parent = some();
    const int64_t id = id_of(parent);
    const int64_t capacity = about((parent ? length_of(*parent) : 0) + in_.below(200));
    take(capacity, [&](Engine& engine) -> CachedSequence& { return engine.fork(id, capacity); });
  }

  void close() {
    const Open* one = some();
    const int64_t id = id_of(one);
    if (call([&](Engine& engine) { engine.close(id); }))
      std::erase_if(open_, [&](const Open& other) { return other.id == id; });
  }

  // A made-up history, mostly one that ends near the end of a chunk.
  void pretend() {
    const Open* one = some();
    const int64_t id = id_of(one);
    const int64_t length = about(kChunk * in_.below(5) + in_.below(32) - 16);
    call([&](Engine& engine) { engine.pretend(id, length); });
  }

  // Rows of up to three sequences stand mixed: of each some that become history, then a tree.
  void forward() {
    struct Part {
      int64_t id;
      int64_t length, room;
      int root = -1;
      std::vector<std::pair<int, int64_t>> nodes;  // rows with their positions
    };
    std::vector<Part> parts(1 + in_.below(3));
    std::set<int64_t> taken;
    for (Part& part : parts) {
      const Open* one = some();
      part = {id_of(one), one ? length_of(*one) : 0, one ? one->capacity : 0, -1, {}};
      // A sequence that is met twice has no more rows to give.
      if (!taken.insert(part.id).second) part.room = part.length;
    }
    Rows rows;
    const int wanted = in_.below(kMaxRows + 2);
    for (int i = 0; i < wanted; ++i) {
      const uint8_t bits = in_.byte();
      Part& part = parts[(bits & 3) % parts.size()];
      const bool draft = bits >> 2 & 1, want = bits >> 3 & 1;
      int parent = part.root;
      int64_t position = part.length;
      if (!part.nodes.empty()) {
        const int back = bits >> 4;  // 15: below the root
        const int count = static_cast<int>(part.nodes.size());
        if (back < 15) std::tie(parent, position) = part.nodes[std::max(count - 1 - back / 4, 0)];
        position += back < 15;
      }
      if (position >= part.room && !in_.rarely()) continue;
      const auto token = text(position + (draft && bits >> 7));
      const bool commit = !draft && part.nodes.empty();
      const int row = rows.add(static_cast<int32_t>(part.id), token, parent, commit, want);
      if (commit) {
        part.root = row;
        ++part.length;
      } else {
        part.nodes.emplace_back(row, position);
      }
    }
    damage(rows);
    const int layers = in_.rarely() ? in_.below(5) - 1 : -1;
    std::vector<int> hidden;
    if (in_.rarely()) {
      hidden.resize(in_.below(4));
      for (int& layer : hidden) layer = in_.below(5) - 1;
    }
    if (call([&](Engine& engine) { engine.forward(rows.spans(), layers, hidden); })) {
      rows_ = std::move(rows);
      compare();
    }
  }

  // Now and then a row has anything in one of its places.
  void damage(Rows& rows) {
    if (!in_.rarely() || rows.token.empty()) return;
    const size_t row = in_.byte() % rows.token.size();
    switch (in_.below(6)) {
      case 0:
        rows.sequence[row] = in_.any();
        break;
      case 1:
        rows.token[row] = in_.any();
        break;
      case 2:
        rows.parent[row] = in_.any();
        break;
      case 3:
        rows.parent[row] = in_.below(kMaxRows) - 1;
        break;
      case 4:
        rows.commit[row] ^= 1;
        break;
      default:
        rows.parent.pop_back();
    }
  }

  void compare() const {
    const Outcome &one = engines_.tested.outcome(), &other = engines_.reference.outcome();
    const size_t width = engines_.tested.model().hyper.width;
    for (size_t row = 0; row < rows_.token.size(); ++row) {
      if (!rows_.want_logits[row]) continue;
      const auto at = static_cast<int>(row);
      const Logits tested = engines_.tested.logits(at), reference = engines_.reference.logits(at);
      same(tested.values, reference.values, vocab_);
      same(tested.maxima, reference.maxima, maxima_size(vocab_));
    }
    same(one.hidden.data(), other.hidden.data(), one.hidden_layers.size() * one.rows * width);
  }

  static void same(const float* one, const float* other, size_t count) {
    if (count && std::memcmp(one, other, count * sizeof(float)) != 0) {
      std::fputs("The engines differ.\n", stderr);
      std::abort();
    }
  }

  // For the logits of any row, which may have none.
  void ask() {
    const auto row = static_cast<int>(about(in_.below(kMaxRows)));
    call([&](Engine& engine) { engine.logits(row); });
  }

  // Mostly a path of the last pass from the history down to a drafted row.
  void keep() {
    std::vector<int32_t> path;
    int64_t id = 0;
    if (!rows_.token.empty()) {
      int row = in_.below(static_cast<int32_t>(rows_.token.size()));
      id = rows_.sequence[row];
      for (; row >= 0 && !rows_.commit[row]; row = rows_.parent[row])
        path.insert(path.begin(), row);
    }
    if (!path.empty() && in_.rarely()) path[in_.byte() % path.size()] = in_.any();
    if (!path.empty() && in_.rarely()) path.erase(path.begin() + in_.byte() % path.size());
    id = about(id);
    call([&](Engine& engine) { engine.keep(id, path); });
  }

  Engines& engines_;
  Input& in_;
  const int vocab_;
  std::vector<Open> open_;
  Rows rows_;  // of the last pass
};

}  // namespace outrider
