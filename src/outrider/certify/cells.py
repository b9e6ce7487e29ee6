"""What is certified and what came of it, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from outrider.certify.compare import ChiSquare, Divergence, chi_square_bound
from outrider.types import Speculation

ENOUGH: Final = 200
"""Accepted nodes, and rejected ones, below which a cell is inconclusive."""

NUM_DRAFT_TOKENS: Final = 8
"""Nodes a step that the controller `fixed` forces where nothing else is asked for."""

Kind = Literal["equality", "distribution", "divergence"]
Status = Literal["identical", "passed", "measured", "different", "inconclusive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to certify.

    Attributes:
        drafters: specs; None takes every registered one that runs here without options.
        controllers: specs; None takes `fixed` and the default plan's.
        verifications: specs of verifiers.
        temperatures: 0 is checked greedily, once a prompt.
        top_p: of the sampled ones.
        seeds: of the sampled ones; each prompt derives its own from each by its index.
        max_tokens: of an answer.
        num_draft_tokens: nodes a step; None takes `NUM_DRAFT_TOKENS` for `fixed` and leaves it to
            the other controllers.
        batch: in mixed batches, with cancellations and cache evictions.
        draws: completions a prompt for a distribution test.
    """

    drafters: tuple[str, ...] | None = None
    controllers: tuple[str, ...] | None = None
    verifications: tuple[str, ...] = ("coupled",)
    temperatures: tuple[float, ...] = (0.0, 1.0)
    top_p: float = 0.95
    seeds: tuple[int, ...] = (1, 2, 3)
    max_tokens: int = 128
    num_draft_tokens: int | None = None
    batch: bool = False
    draws: int = 300


@dataclass(frozen=True, slots=True)
class Setting:
    """One combination of parts.

    Attributes:
        kind: what can be asked of it: `equality` token for token, a `distribution` test, or how
            large the `divergence` is.
    """

    drafter: str
    controller: str
    num_draft_tokens: int | None
    verification: str
    temperature: float
    kind: Kind

    @property
    def speculation(self) -> Speculation:
        """What a request asks for to get it."""
        return Speculation(
            drafter=self.drafter,
            controller=self.controller,
            num_draft_tokens=self.num_draft_tokens,
            verification=self.verification,
        )


@dataclass(frozen=True, slots=True)
class Said:
    """A token that one of two answers has where they part.

    Attributes:
        logit: the raw model's, computed anew, behind the prompt and what both had said.
        logprob: the log-probability of the same.
        logprob_then: what the pass had in which the token came. Where it is not `logprob`, it was
            not verification that erred, but the pass.
    """

    token: int
    logit: float
    logprob: float
    logprob_then: float


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer that is not plain decoding's.

    Attributes:
        prompt: the index of the prompt.
        seed: of the request.
        position: tokens of the answer before the first difference.
        plain: what plain decoding says there; None where its answer has ended.
        speculative: what speculation says there.
        plain_continues: the plain answer from there on.
        speculative_continues: the other one.
        why: in words.
    """

    setting: Setting
    prompt: int
    seed: int
    position: int
    plain: Said | None
    speculative: Said | None
    plain_continues: tuple[int, ...]
    speculative_continues: tuple[int, ...]
    why: str


@dataclass(slots=True)
class Cell:
    """What came of one setting.

    Attributes:
        checked: completions compared.
        tokens: in them.
        accepted: drafted nodes that were accepted.
        rejected: drafted nodes that were not.
        own: accepted nodes that the drafter itself proposed.
        failures: the answers that differ.
        chi_square: of a distribution test.
        divergence: of lossy verification.
        notes: why completions were not speculated to their end.
    """

    setting: Setting
    checked: int = 0
    tokens: int = 0
    accepted: int = 0
    rejected: int = 0
    own: int = 0
    failures: list[Failure] = field(default_factory=list)
    chi_square: ChiSquare | None = None
    divergence: Divergence | None = None
    notes: set[str] = field(default_factory=set)

    @property
    def status(self) -> Status:
        """The outcome; `passed` is a distribution test's, `measured` a divergence's."""
        if self.failures or (
            self.chi_square is not None
            and self.chi_square.statistic > chi_square_bound(self.chi_square.degrees)
        ):
            return "different"
        tested = self.chi_square is None or self.chi_square.degrees > 0
        if min(self.accepted, self.rejected) < ENOUGH or not tested:
            return "inconclusive"
        kinds: dict[Kind, Status] = {
            "equality": "identical",
            "distribution": "passed",
            "divergence": "measured",
        }
        return kinds[self.setting.kind]


@dataclass(frozen=True, slots=True)
class Certificate:
    """All that was found.

    Attributes:
        cells: one a setting.
        left_out: what was not tried, with the reason.
        room: tokens that the cache was left with in mixed batches, where that is known.
        cancelled: companions cancelled in mixed batches.
    """

    cells: Sequence[Cell]
    left_out: Sequence[tuple[str, str]] = ()
    room: int | None = None
    cancelled: int = 0

    @property
    def failures(self) -> list[Failure]:
        """Of all cells."""
        return [failure for cell in self.cells for failure in cell.failures]

    @property
    def identical(self) -> bool:
        """Whether answers were compared token for token, and none differs."""
        compared = any(cell.setting.kind == "equality" and cell.checked for cell in self.cells)
        return compared and not self.failures

    @property
    def exit_status(self) -> int:
        """1 where something differs, else 2 where something is inconclusive, else 0."""
        found = {cell.status for cell in self.cells}
        return 1 if "different" in found else 2 if "inconclusive" in found else 0
