// Grows draft trees from what costs nothing: the text so far, past outputs, and rows computed
// anyway.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "draft_calibration.hpp"
#include "draft_coupling.hpp"
#include "draft_ngram.hpp"
#include "draft_recycle.hpp"
#include "draft_suffix.hpp"
#include "sampling.hpp"

namespace outrider {

struct GrowerOptions {
  std::array<bool, kSources> sources{};
  int vocab_size = 0;
  bool branches = true;  // false: chains only
  int min_match = 1;     // of n-grams and suffixes
  int max_match = 4;     // of n-grams
  bool past = false;     // the suffix index remembers finished outputs
  int k = 8;             // continuations recycled of a row
};

struct Limits {
  int max_nodes = 0;
  int max_depth = 0;
  double min_path_probability = 0.0;
};

// As outrider.tree.Tree has it: node i's parent is a lower index, or -1 for the root.
struct DraftTree {
  std::vector<int32_t> tokens, parents;
  std::vector<double> probabilities;
  std::vector<Source> origins;
};

// What came of a step of one request: the tokens that the target chose, which are not read yet, and
// the rows that the pass computed, with the k likeliest continuations of each. Row 0 is the pending
// token's, which is the text's last; row 1 + i that of node i of the verified tree.
struct VerifiedStep {
  int64_t id;
  std::vector<int32_t> came;
  std::vector<int32_t> tokens, parents;  // of the tree's nodes
  const int32_t* continuations;          // [1 + nodes][k], where rows are recycled
  const float* logits;                   // [1 + nodes][k]
};

class Grower {
 public:
  // Tokens of finished outputs kept for the suffix index, at most.
  static constexpr size_t kPastTokens = 1 << 18;

  explicit Grower(const GrowerOptions& options);

  // A request starts, or starts anew; its text comes by `extend`. `noise` is what its tokens are
  // chosen with, where that is known.
  void begin(int64_t id, int64_t prompt_length, double temperature,
             const std::optional<NoiseKey>& noise = {});
  void extend(int64_t id, TokenSpan tokens);
  // The likeliest tree behind the text, best first.
  DraftTree draft(int64_t id, const Limits& limits);
  // Learns from a step of several requests: scores what would have been guessed at each token that
  // came, whatever was drafted; then recycles the rows, then reads the tokens.
  void observe(const std::vector<VerifiedStep>& steps);
  bool knows(int64_t id) const { return requests_.contains(id); }
  // A request has ended; harmless where it never began.
  void end(int64_t id);
  // Forgets all that was learnt; requests that run keep their text.
  void reset();

  int k() const { return options_.k; }
  bool recycles() const { return recycled_ != nullptr; }
  size_t past_tokens() const { return past_ ? past_->size() : 0; }
  // Tokens of a request that have been read.
  size_t length(int64_t id) const { return find(id).text.size(); }

 private:
  struct Request {
    Request(int64_t prompt, int temperature_bin, const std::optional<NoiseKey>& noise_key,
            const GrowerOptions& options)
        : prompt_length(prompt),
          temperature(temperature_bin),
          noise(noise_key),
          ngrams(options.min_match, options.max_match) {}

    int64_t prompt_length;
    int temperature;
    std::optional<NoiseKey> noise;
    std::vector<int32_t> text;
    NgramIndex ngrams;
    SuffixIndex suffixes;
    RequestCalibration calibration;
  };
  struct Candidate {
    int32_t token;
    Evidence evidence;
    double expected;     // before the request's own ratio
    double probability;  // after it, and after the noise
    Source origin;
    Coupled coupled{};
  };
  // What may become a node, best first.
  struct Leaf {
    double path_probability;
    size_t order;  // of equals the earlier one
    int32_t parent;
    int depth;
    Candidate candidate;

    bool operator<(const Leaf& other) const {
      return path_probability != other.path_probability ? path_probability < other.path_probability
                                                        : order > other.order;
    }
  };

  void judge(Request& request, TokenSpan came);
  void recycle(const Request& request, const VerifiedStep& step);
  void check(TokenSpan tokens) const;
  Request& find(int64_t id);
  const Request& find(int64_t id) const;
  bool uses(Source source) const { return options_.sources[static_cast<int>(source)]; }
  // Fills `candidates_` with what the sources guess behind `text`, for the token at `position`.
  void propose(const Request& request, TokenSpan text, int64_t position);
  // Weighs the candidates by the noise of their tokens.
  void couple(const Request& request, int64_t position);
  // At most one of the candidates is chosen.
  void normalize();
  void collect(Source source, const std::vector<Guess>& guesses);
  // The end of the request's text with the path to a node behind it, in `context_`.
  TokenSpan context(const Request& request, const DraftTree& tree, int node);

  GrowerOptions options_;
  Calibration calibration_;
  Coupling coupling_;
  std::unique_ptr<RecycleTable> recycled_;
  std::unique_ptr<SuffixIndex> past_;
  std::unordered_map<int64_t, std::unique_ptr<Request>> requests_;
  // Memory that is used again from one call to the next.
  std::vector<Candidate> candidates_;
  Evidence heard_{};  // of a token that no source has guessed so far
  std::vector<Guess> guesses_;
  std::vector<int32_t> ids_;
  std::vector<double> probabilities_, noise_;
  std::vector<Coupled> coupled_;
  std::vector<int32_t> context_;
  std::vector<Leaf> leaves_;
};

}  // namespace outrider
