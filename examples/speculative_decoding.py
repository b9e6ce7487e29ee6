"""Speculative decoding from scratch: something cheap guesses, the target decides.

Models are tables here: row t of a matrix is the distribution of the token after token t. A draft
model is the target with noise. Nothing but numpy is needed:

    python examples/speculative_decoding.py

The rule of acceptance is that of Leviathan et al. (arXiv:2211.17192) and Chen et al.
(arXiv:2302.01318); with several drafts it is applied again to what the last one left over (Miao et
al., arXiv:2305.09781).
"""

import numpy as np

VOCABULARY = 12
TOKENS = 8_000
PATIENCE = 0.9  # the share of the past in the running mean of acceptance


def make_models(rng):
    """A target and two drafts that have learnt it badly, each in its own way."""
    target = rng.dirichlet(np.full(VOCABULARY, 0.5), size=VOCABULARY)
    noise = rng.dirichlet(np.full(VOCABULARY, 0.5), size=(2, VOCABULARY))
    return target, [0.6 * target + 0.4 * other for other in noise]


def sample(weights, rng):
    """An index, drawn in proportion to its weight. All chance comes from here."""
    return int(rng.choice(len(weights), p=weights / weights.sum()))


def draft_chain(draft, token, length, rng):
    """Guesses for the tokens after `token`, one after another."""
    chain = []
    for _ in range(length):
        token = sample(draft[token], rng)
        chain.append(token)
    return chain


def accept(ratio, threshold, rng):
    """Whether a guess x stands, ratio = p(x) / q(x).

    The exact rule accepts with probability min(1, ratio). A threshold accepts every guess whose
    ratio reaches it: more of them, but the output is no longer the target's. LOSSY.
    """
    chance = min(1.0, ratio) if threshold is None else float(ratio >= threshold)
    return sample(np.array([1.0 - chance, chance]), rng) == 1


def choose(p, guesses, threshold, rng):
    """The next token, with p the target's distribution and guesses (token, its distribution q).

    A guess that fails has used up the share of p that q covers: the next one is held against
    max(0, p - q). When all have failed, what is left of p decides. Summed over all that can
    happen, every token comes out with the probability that p gives it.
    """
    for token, q in guesses:
        if accept(p[token] / q[token], threshold, rng):
            return token, True
        left = np.maximum(p - q, 0.0)
        # Only a threshold rejects where nothing is left over; then p itself decides.
        p = left / left.sum() if left.sum() > 0.0 else p
    return sample(p, rng), False


def one_pass(target, drafts, token, length, rng, threshold=None):
    """The tokens that one pass of the target gives after `token`, and how many were guessed.

    Each draft model guesses a chain of `length` tokens. A real target computes the distributions
    after all of them in a single pass, for little more than the price of one.
    """
    chains = [(draft, draft_chain(draft, token, length, rng)) for draft in drafts]
    output = []
    for position in range(length):
        guesses = [(chain[position], draft[token]) for draft, chain in chains]
        token, guessed = choose(target[token], guesses, threshold, rng)
        output.append(token)
        if not guessed:
            return output, position
        # Chains that guessed another token say nothing about what follows this one.
        chains = [(draft, chain) for draft, chain in chains if chain[position] == token]
    # Every guess stood, and the pass has the distribution after the last one: a bonus token.
    return [*output, sample(target[token], rng)], length


def next_length(length, recent):
    """Adaptive K: guess further while it goes well, less far while it does not."""
    if recent > 0.8:
        return length + 1
    return max(length - 1, 1) if recent < 0.5 else length


def generate(target, drafts, count, rng, *, length=4, adaptive=False, threshold=None):
    """`count` tokens after token 0; of all passes their number, total K, and guesses that stood."""
    output, passes, drafted, accepted = [0], 0, 0, 0
    recent = 0.65  # of the guesses of late; neither high nor low
    while len(output) <= count:
        tokens, stood = one_pass(target, drafts, output[-1], length, rng, threshold)
        output += tokens
        passes, drafted, accepted = passes + 1, drafted + length, accepted + stood
        if adaptive:
            recent = PATIENCE * recent + (1.0 - PATIENCE) * stood / length
            length = next_length(length, recent)
    return output[1 : count + 1], passes, drafted, accepted


def distance(target, tokens):
    """How far the tokens are from the target, and how far chance alone would take them.

    Of a Markov chain it is enough to look at the step from each token to the next: the total
    variation between observed and true rows, weighted by how often each was used. The mean
    deviation of a frequency from its probability p after n draws is about sqrt(2p(1-p) / (pi n)).
    """
    counts = np.zeros_like(target)
    np.add.at(counts, ([0, *tokens[:-1]], tokens), 1)
    visits = counts.sum(axis=1, keepdims=True)
    observed = np.abs(counts - visits * target).sum() / 2
    chance = np.sqrt(2.0 * target * (1.0 - target) * visits / np.pi).sum() / 2
    return observed / len(tokens), chance / len(tokens)


def main(count=TOKENS, seed=0):
    """Each variant once, over the same models."""
    rng = np.random.default_rng(seed)
    target, drafts = make_models(rng)
    variants = {
        "plain, one token a pass": ([], {"length": 0}),
        "K = 4": (drafts[:1], {}),
        "adaptive K": (drafts[:1], {"length": 8, "adaptive": True}),
        "K = 4, two drafts": (drafts, {}),
        "K = 4, threshold 0.3: LOSSY": (drafts[:1], {"threshold": 0.3}),
    }
    print(f"{'':28}{'tokens a pass':>14}{'mean K':>9}{'accepted':>10}{'off by':>9}{'chance':>9}")
    for name, (models, options) in variants.items():
        tokens, passes, drafted, accepted = generate(target, models, count, rng, **options)
        off, chance = distance(target, tokens)
        rate = f"{accepted / drafted:.0%}" if drafted else "-"
        print(f"{name:28}{count / passes:14.2f}{drafted / passes:9.2f}", end="")
        print(f"{rate:>10}{off:9.4f}{chance:9.4f}")


if __name__ == "__main__":
    main()
