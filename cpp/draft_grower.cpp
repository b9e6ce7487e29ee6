#include "draft_grower.hpp"

#include <algorithm>
#include <string>

#include "error.hpp"

namespace outrider {
namespace {

// Tokens behind which guesses are made, at most.
constexpr size_t kContext = SuffixIndex::kDepth;
// Positions of a step that are judged, at most.
constexpr size_t kJudged = 16;
constexpr size_t kMaxRecycled = 64;
// Nothing is certain: a controller would never doubt a probability of 1.
constexpr double kMost = 0.99;

}  // namespace

Grower::Grower(const GrowerOptions& options) : options_(options) {
  if (options.min_match < 1 || options.max_match < options.min_match) {
    throw UsageError("The match lengths have to be 1 <= min_match <= max_match, not " +
                     std::to_string(options.min_match) + " and " +
                     std::to_string(options.max_match) + ".");
  }
  if (options.k < 1 || options.k > static_cast<int>(kMaxRecycled)) {
    throw UsageError("Between 1 and " + std::to_string(kMaxRecycled) +
                     " continuations can be recycled of a row, not " + std::to_string(options.k) +
                     ".");
  }
  if (uses(Source::Recycle)) {
    options_.k = std::min(options.k, options.vocab_size);
    recycled_ = std::make_unique<RecycleTable>(options.vocab_size, options_.k);
  }
  if (options.past) past_ = std::make_unique<SuffixIndex>(kPastTokens);
}

const Grower::Request& Grower::find(int64_t id) const {
  const auto found = requests_.find(id);
  if (found == requests_.end()) {
    throw UsageError("The drafter knows no request " + std::to_string(id) + ": begin it first.");
  }
  return *found->second;
}

Grower::Request& Grower::find(int64_t id) {
  return const_cast<Request&>(static_cast<const Grower&>(*this).find(id));
}

void Grower::begin(int64_t id, int64_t prompt_length, double temperature,
                   const std::optional<NoiseKey>& noise) {
  requests_[id] =
      std::make_unique<Request>(prompt_length, Calibration::temperature_bin(temperature),
                                temperature > 0.0 ? noise : std::optional<NoiseKey>(), options_);
}

void Grower::check(TokenSpan tokens) const {
  for (const int32_t token : tokens) {
    if (token < 0 || token >= options_.vocab_size) {
      throw UsageError("Token " + std::to_string(token) + " is outside the vocabulary of " +
                       std::to_string(options_.vocab_size) + " tokens.");
    }
  }
}

void Grower::extend(int64_t id, TokenSpan tokens) {
  check(tokens);
  Request& request = find(id);
  for (const int32_t token : tokens) {
    request.text.push_back(token);
    if (uses(Source::Ngram)) request.ngrams.add(request.text);
    if (uses(Source::Suffix)) request.suffixes.add(token);
  }
}

// ---------------------------------------------------------------- guessing

void Grower::collect(Source source, const std::vector<Guess>& guesses) {
  if (guesses.empty()) return;
  const int s = static_cast<int>(source);
  for (Candidate& candidate : candidates_) candidate.evidence[s] = kOther;
  for (const Guess& guess : guesses) {
    const auto said = static_cast<uint8_t>(kGuessed + guess.bin);
    auto known = std::find_if(candidates_.begin(), candidates_.end(),
                              [&](const Candidate& c) { return c.token == guess.token; });
    if (known == candidates_.end()) {
      candidates_.push_back({guess.token, {}, 0.0, 0.0, source});
      known = candidates_.end() - 1;
      known->evidence = heard_;
    }
    // A source's first guess of a token is its best one.
    if (known->evidence[s] < kGuessed) known->evidence[s] = said;
  }
  heard_[s] = kOther;
}

void Grower::propose(const Request& request, TokenSpan text, int64_t position) {
  candidates_.clear();
  heard_ = {};
  if (uses(Source::Ngram)) {
    guesses_.clear();
    request.ngrams.guess(text, guesses_);
    collect(Source::Ngram, guesses_);
  }
  if (uses(Source::Suffix)) {
    guesses_.clear();
    request.suffixes.guess(text, options_.min_match, guesses_);
    if (past_) {
      const size_t own = guesses_.size();
      past_->guess(text, options_.min_match, guesses_);
      for (size_t i = own; i < guesses_.size(); ++i) guesses_[i].bin += SuffixIndex::kBins;
    }
    collect(Source::Suffix, guesses_);
  }
  if (uses(Source::Recycle)) {
    guesses_.clear();
    recycled_->guess(text, guesses_);
    collect(Source::Recycle, guesses_);
  }
  for (Candidate& c : candidates_) {
    c.expected = calibration_.probability(c.evidence, request.temperature, c.origin);
    const double ratio = request.calibration.ratio(Calibration::group(c.evidence));
    c.probability = std::min(c.expected * ratio, kMost);
  }
  normalize();
  if (request.noise && !candidates_.empty()) couple(request, position);
}

void Grower::couple(const Request& request, int64_t position) {
  ids_.clear();
  probabilities_.clear();
  for (const Candidate& c : candidates_) {
    ids_.push_back(c.token);
    probabilities_.push_back(c.probability);
  }
  noise_.resize(ids_.size());
  gumbel_noise(*request.noise, position, ids_.data(), ids_.size(), noise_.data());
  Coupling::bins(probabilities_, noise_, coupled_);
  for (size_t i = 0; i < candidates_.size(); ++i) {
    candidates_[i].coupled = coupled_[i];
    candidates_[i].probability = coupling_.probability(coupled_[i], request.temperature);
  }
  normalize();
}

void Grower::normalize() {
  double total = 0.0;
  for (const Candidate& c : candidates_) total += c.probability;
  if (total <= kMost) return;
  for (Candidate& c : candidates_) c.probability *= kMost / total;
}

TokenSpan Grower::context(const Request& request, const DraftTree& tree, int node) {
  context_.clear();
  for (; node >= 0 && context_.size() < kContext; node = tree.parents[node]) {
    context_.push_back(tree.tokens[node]);
  }
  for (size_t i = request.text.size(); i-- > 0 && context_.size() < kContext;) {
    context_.push_back(request.text[i]);
  }
  std::reverse(context_.begin(), context_.end());
  return context_;
}

DraftTree Grower::draft(int64_t id, const Limits& limits) {
  const Request& request = find(id);
  DraftTree tree;
  leaves_.clear();
  size_t order = 0;
  const auto offer = [&](int node, int depth, double reached) {
    propose(request, context(request, tree, node),
            static_cast<int64_t>(request.text.size()) + depth - 1);
    if (!options_.branches && !candidates_.empty()) {
      // The first of the likeliest ones.
      std::iter_swap(candidates_.begin(),
                     std::max_element(candidates_.begin(), candidates_.end(),
                                      [](const Candidate& a, const Candidate& b) {
                                        return a.probability < b.probability;
                                      }));
      candidates_.resize(1, candidates_.front());
    }
    for (const Candidate& c : candidates_) {
      const double path = reached * c.probability;
      if (path < limits.min_path_probability) continue;
      leaves_.push_back({path, order++, node, depth, c});
      std::push_heap(leaves_.begin(), leaves_.end());
    }
  };
  if (limits.max_nodes > 0 && limits.max_depth > 0) offer(-1, 1, 1.0);
  while (!leaves_.empty() && static_cast<int>(tree.tokens.size()) < limits.max_nodes) {
    std::pop_heap(leaves_.begin(), leaves_.end());
    const Leaf leaf = leaves_.back();
    leaves_.pop_back();
    const auto node = static_cast<int>(tree.tokens.size());
    tree.tokens.push_back(leaf.candidate.token);
    tree.parents.push_back(leaf.parent);
    tree.probabilities.push_back(leaf.candidate.probability);
    tree.origins.push_back(leaf.candidate.origin);
    if (leaf.depth < limits.max_depth && node + 1 < limits.max_nodes) {
      offer(node, leaf.depth + 1, leaf.path_probability);
    }
  }
  return tree;
}

// ---------------------------------------------------------------- learning

void Grower::judge(Request& request, TokenSpan came) {
  const DraftTree none;
  const size_t judged = std::min(came.size(), kJudged);
  std::vector<int32_t> behind;
  {
    const TokenSpan before = context(request, none, -1);
    behind.assign(before.begin(), before.end());
  }
  for (size_t i = 0; i < judged; ++i) {
    propose(request, behind, static_cast<int64_t>(request.text.size() + i));
    for (const Candidate& c : candidates_) {
      const bool right = c.token == came[i];
      request.calibration.add(Calibration::group(c.evidence), c.expected, right);
      calibration_.add(c.evidence, request.temperature, right);
      if (request.noise) coupling_.add(c.coupled, request.temperature, right);
    }
    behind.push_back(came[i]);
  }
}

void Grower::recycle(const Request& request, const VerifiedStep& step) {
  if (!recycled_) return;
  DraftTree tree;
  tree.tokens = step.tokens;
  tree.parents = step.parents;
  const auto k = static_cast<size_t>(options_.k);
  for (size_t row = 0; row <= step.tokens.size(); ++row) {
    const int32_t* continuations = step.continuations + row * k;
    if (continuations[0] < 0) continue;  // its logits were not numbers
    check({continuations, k});
    recycled_->add(context(request, tree, static_cast<int>(row) - 1), continuations,
                   step.logits + row * k);
  }
}

void Grower::observe(const std::vector<VerifiedStep>& steps) {
  for (const VerifiedStep& step : steps) {
    check(step.came);
    check(step.tokens);
    judge(find(step.id), step.came);
  }
  for (const VerifiedStep& step : steps) recycle(find(step.id), step);
  for (const VerifiedStep& step : steps) extend(step.id, step.came);
}

void Grower::end(int64_t id) {
  const auto found = requests_.find(id);
  if (found == requests_.end()) return;
  if (past_) {
    const Request& request = *found->second;
    past_->add(SuffixIndex::kBorder);
    for (size_t i = request.prompt_length; i < request.text.size(); ++i) {
      past_->add(request.text[i]);
    }
  }
  requests_.erase(found);
}

void Grower::reset() {
  calibration_.clear();
  coupling_.clear();
  if (recycled_) recycled_->clear();
  if (past_) past_ = std::make_unique<SuffixIndex>(kPastTokens);
  for (auto& [id, request] : requests_) request->calibration = {};
}

}  // namespace outrider
