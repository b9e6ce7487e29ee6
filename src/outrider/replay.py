"""Drafters over logged answers, without a model: what they would propose, and what comes of it.

The log says what the target chose; a drafter is asked at each step and told what came, as in the
loop. What needs the target's logits cannot be replayed and says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from outrider import registry
from outrider.drafters.base import DraftEntry, Drafter, Observation
from outrider.engines.base import CachedSequence, Capabilities, Pass, Rows, TargetModel
from outrider.errors import OutriderError, UsageError
from outrider.files import read_text
from outrider.sampling import Sampler
from outrider.theory import RowsCost
from outrider.tree import follow
from outrider.types import Sampling

LENGTHS: Final = (1, 2, 3, 4, 6, 8, 12, 16)
"""Drafted tokens a pass that are tried."""

BATCHES: Final = (1, 2, 4, 8, 16)
"""Streams for which a speed-up is predicted."""

WORTH: Final = 1.02
"""Speed-ups below this are lost in the error of a prediction."""

PROMPT_KEYS: Final = ("prompt", "messages")
OUTPUT_KEYS: Final = ("output", "completion")

Text = Callable[[str], Sequence[int]]
"""Turns text into tokens."""

Chat = Callable[[Sequence[Mapping[str, str]]], Sequence[int]]
"""Turns messages into tokens."""


# ------------------------------------------------------------------------------------- the log


@dataclass(frozen=True, slots=True)
class Logged:
    """A prompt and the answer that was given to it, as tokens."""

    prompt: tuple[int, ...]
    output: tuple[int, ...]


def read_log(path: Path, *, prompt: Text, output: Text, chat: Chat) -> list[Logged]:
    """The answers of a log of JSON lines.

    A line has `prompt` (a text, or a list of token ids) or `messages`, and `output` or
    `completion` (a text, or a list of token ids). Its other keys are the log's own.

    Args:
        path: the log.
        prompt: makes tokens of a prompt.
        output: makes tokens of an answer.
        chat: makes tokens of a conversation.

    Raises:
        UsageError: the file cannot be read, a line is none of a log, or nothing was answered.
    """
    text = read_text(path, f"The log {path}")
    logged = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        place = f"Line {number} of {path}"
        values = _object(line, place)
        asked = _one(values, PROMPT_KEYS, place)
        given = _one(values, OUTPUT_KEYS, place)
        if asked == "messages":
            if not isinstance(values[asked], list) or not values[asked]:
                raise UsageError(f"{place} has {asked} that are no list of messages.")
            before = tuple(chat(values[asked]))
        else:
            before = _tokens(values[asked], prompt, f"{asked!r} in {place.lower()}")
        after = _tokens(values[given], output, f"{given!r} in {place.lower()}")
        if before and after:
            logged.append(Logged(before, after))
    if not logged:
        raise UsageError(f"The log {path} holds no answer to replay.")
    return logged


def _object(line: str, place: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise UsageError(f"{place} is not valid JSON: {error}.") from error
    if not isinstance(values, dict):
        raise UsageError(f"{place} has to be an object with a prompt and an output.")
    return values


def _one(values: Mapping[str, Any], keys: Sequence[str], place: str) -> str:
    given = [key for key in keys if key in values]
    if len(given) != 1:
        raise UsageError(
            f"{place} needs exactly one of {' and '.join(keys)}; "
            f"given: {', '.join(given) or 'none'}."
        )
    return given[0]


def _tokens(value: Any, encode: Text, place: str) -> tuple[int, ...]:
    if isinstance(value, str):
        return tuple(encode(value))
    if isinstance(value, list) and all(
        isinstance(token, int) and not isinstance(token, bool) and token >= 0 for token in value
    ):
        return tuple(value)
    raise UsageError(f"{place} has to be a text or a list of token ids.")


# ----------------------------------------------------------------------------- without a model


class LoggedTarget(TargetModel):
    """What drafters see of a model that is not there.

    Args:
        vocab_size: tokens in the vocabulary.
        trees: whether drafts may branch.
    """

    def __init__(self, vocab_size: int, *, trees: bool) -> None:
        self.vocab_size = vocab_size
        self.context = 1 << 30
        self.capabilities = Capabilities(
            trees=trees, max_rows=1 << 10, hidden=False, layers=False, bitwise=True
        )
        self.cost = _NoCost()

    def open(self, tokens: Sequence[int], capacity: int, *, share: bool = True) -> CachedSequence:
        """There is nothing to compute with."""
        raise _absent()

    def fork(self, sequence: CachedSequence, capacity: int) -> CachedSequence:
        """There is nothing to compute with."""
        raise _absent()

    def forward(self, rows: Rows, layers: int | None = None, hidden: tuple[int, ...] = ()) -> Pass:
        """There is nothing to compute with."""
        raise _absent()

    def keep(self, sequence: CachedSequence, rows: Sequence[int]) -> None:
        """There is nothing to compute with."""
        raise _absent()

    def close(self, sequence: CachedSequence) -> None:
        """There is nothing to compute with."""
        raise _absent()

    def clear_cache(self) -> None:
        """There is nothing to compute with."""
        raise _absent()


class _NoCost:
    def ms(self, rows: Sequence[tuple[int, int]], layers: int | None = None) -> float:
        raise _absent()


class _LoggedPass(Pass):
    def numpy(self, rows: Sequence[int]) -> NDArray[np.float32]:
        raise _absent()


def _absent() -> OutriderError:
    return OutriderError("it needs the model's logits, and a log has none")


# ------------------------------------------------------------------------------------- replay


@dataclass(slots=True)
class Replayed:
    """What a drafter would have done with drafts of one size.

    Attributes:
        num_draft_tokens: K, nodes a pass at most.
        passes: of the target, the one that chose the first token not included.
        drafted: nodes proposed.
        accepted: of them.
        rows: how often a pass had so many rows.
    """

    num_draft_tokens: int
    passes: int = 0
    drafted: int = 0
    accepted: int = 0
    rows: dict[int, int] = field(default_factory=dict)

    def add(self, other: Replayed) -> None:
        """Count another's passes too."""
        self.passes += other.passes
        self.drafted += other.drafted
        self.accepted += other.accepted
        for rows, count in other.rows.items():
            self.rows[rows] = self.rows.get(rows, 0) + count

    @property
    def tokens_per_pass(self) -> float:
        """Tokens gained a pass, the bonus token included."""
        return (self.passes + self.accepted) / self.passes if self.passes else 1.0

    @property
    def acceptance_rate(self) -> float:
        """Accepted over drafted tokens; 0 where nothing was drafted."""
        return self.accepted / self.drafted if self.drafted else 0.0

    def speedup(self, v: RowsCost, batch: int) -> float:
        """Predicted speed against plain decoding with as many streams; drafting costs nothing.

        E / mean of v(rows of the pass) / v(batch), where the other streams of a pass have as many
        rows as this one has in the mean.

        Args:
            v: the curve of rows.
            batch: streams.
        """
        return self.tokens_per_pass / self._pass_cost(v, batch)

    def break_even(self, v: RowsCost, batch: int) -> float | None:
        """The acceptance rate at which these drafts gain what they cost; None where none does."""
        if not self.drafted:
            return 0.0
        rate = max(self._pass_cost(v, batch) - 1.0, 0.0) * self.passes / self.drafted
        return rate if rate <= 1.0 else None

    def _pass_cost(self, v: RowsCost, batch: int) -> float:
        """A pass with drafts, in passes without."""
        if not self.passes:
            return 1.0
        others = (batch - 1) * self.mean_rows
        cost = sum(count * _between(v, rows + others) for rows, count in self.rows.items())
        return cost / self.passes / v(batch)

    @property
    def mean_rows(self) -> float:
        """Rows a pass for one stream."""
        return 1.0 + self.drafted / self.passes if self.passes else 1.0


def _between(v: RowsCost, rows: float) -> float:
    low = int(rows)
    return v(low) + (v(low + 1) - v(low)) * (rows - low) if rows > low else v(low)


def replay(
    log: Sequence[Logged], spec: str, num_draft_tokens: int, *, vocab_size: int, trees: bool
) -> Replayed:
    """Let a drafter ride along the logged answers, one after the other; see `replay_each`.

    Returns:
        What it would have done with all of them.
    """
    found = Replayed(num_draft_tokens)
    for one in replay_each(log, spec, num_draft_tokens, vocab_size=vocab_size, trees=trees):
        found.add(one)
    return found


def replay_each(
    log: Sequence[Logged], spec: str, num_draft_tokens: int, *, vocab_size: int, trees: bool
) -> list[Replayed]:
    """Let a drafter ride along the logged answers, one after the other.

    Args:
        log: the answers.
        spec: a registered drafter, options behind a colon.
        num_draft_tokens: nodes a pass.
        vocab_size: tokens in the vocabulary.
        trees: whether drafts may branch.

    Returns:
        What it would have done with each answer, knowing those before.

    Raises:
        UsageError: the drafter does not exist or has a wrong option.
        OutriderError: it cannot be replayed; the message says why.
    """
    target = LoggedTarget(vocab_size, trees=trees)
    factory = registry.load("drafters", spec)
    try:
        drafter: Drafter = factory(target)
        return [_ride(drafter, i, logged, num_draft_tokens) for i, logged in enumerate(log)]
    except OutriderError:
        raise
    except Exception as error:  # whatever a drafter does with a model that is not there
        raise OutriderError(f"it needs the model itself ({type(error).__name__})") from error


@dataclass(frozen=True, slots=True)
class _Saying:
    """The choices of a target that goes on like this."""

    ahead: tuple[int, ...]

    def __call__(self, node: int, path: Sequence[int]) -> int:
        return self.ahead[len(path)]


def _ride(drafter: Drafter, index: int, logged: Logged, num_draft_tokens: int) -> Replayed:
    """One answer. The prompt's pass chooses the first token, so drafting begins behind it."""
    sampler = Sampler(Sampling(), vocab_size=drafter.target.vocab_size, seed=0)
    entry = DraftEntry(index, list(logged.prompt), len(logged.prompt), sampler)
    drafter.begin(entry)
    entry.tokens.append(logged.output[0])
    came = 1
    found = Replayed(num_draft_tokens)
    outcome = _LoggedPass()
    while came < len(logged.output):
        left = len(logged.output) - came
        # As in the loop: what is left to say bounds the depth of a draft, not its branches.
        entry.max_nodes = num_draft_tokens if left > 1 else 0
        entry.max_depth = left - 1
        (tree,) = drafter.draft([entry])
        tree.check(drafter.target.vocab_size)
        verdict = follow(tree, _Saying(logged.output[came:]))
        said = len(verdict.accepted) + 1
        entry.tokens.extend(logged.output[came : came + said])
        came += said
        found.passes += 1
        found.drafted += len(tree)
        found.accepted += said - 1
        found.rows[1 + len(tree)] = found.rows.get(1 + len(tree), 0) + 1
        drafter.observe([Observation(entry, tree, verdict)], outcome)
    drafter.end(entry)
    return found


@dataclass(frozen=True, slots=True)
class Ridden:
    """A drafter over a log, with drafts of every length.

    Attributes:
        drafter: its spec.
        by_length: one for each K.
    """

    drafter: str
    by_length: tuple[Replayed, ...]

    def best(self, v: RowsCost, batch: int) -> Replayed:
        """The K that is fastest; whether it is faster than plain decoding is another question."""
        return max(self.by_length, key=lambda replayed: replayed.speedup(v, batch))


def ride(
    log: Sequence[Logged],
    spec: str,
    *,
    vocab_size: int,
    trees: bool = True,
    lengths: Sequence[int] = LENGTHS,
) -> Ridden:
    """A drafter over a log, with drafts of every length; see `replay` for what it raises."""
    return Ridden(
        spec,
        tuple(replay(log, spec, k, vocab_size=vocab_size, trees=trees) for k in lengths),
    )


# ------------------------------------------------------------------------- what others call it


def vllm_config(drafter: str, length: int) -> dict[str, Any] | None:
    """The `speculative_config` of vLLM for such drafts; None where it has none."""
    if drafter == "ngram":
        return {
            "method": "ngram",
            "num_speculative_tokens": length,
            "prompt_lookup_min": 1,
            "prompt_lookup_max": 4,
        }
    if drafter == "suffix":
        return {"method": "suffix", "num_speculative_tokens": length}
    return None


def llamacpp_flags(drafter: str, length: int) -> str | None:
    """The flags of llama.cpp for such drafts; None where it has none."""
    if drafter != "ngram":
        return None
    return f"--spec-type ngram-simple --spec-draft-n-max {length}"
