"""Runs both, plain decoding and every setting, and compares."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from outrider import registry
from outrider.certify.answers import (
    Answer,
    Asked,
    Case,
    drive,
    drive_mixed,
    little_room,
    next_logits,
)
from outrider.certify.cells import (
    NUM_DRAFT_TOKENS,
    Cell,
    Certificate,
    Failure,
    Kind,
    Said,
    Setting,
    Wish,
)
from outrider.certify.compare import (
    ChiSquare,
    Divergence,
    chi_square,
    divergence,
    first_difference,
)
from outrider.certify.salt import Guide, SaltedDrafter
from outrider.decode import Loop
from outrider.drafters.base import Drafter
from outrider.drafters.instruments import INSTRUMENTS
from outrider.engines.base import TargetModel
from outrider.errors import OutriderError, SamplingError, UsageError
from outrider.parts import Load
from outrider.plan import Plan
from outrider.sampling import Sampler, derive_seed
from outrider.types import Sampling

STREAMS: Final = 8
"""Completions at once in a mixed batch; its cache has room for half of them at their longest."""

SHOWN: Final = 24
"""Tokens of a continuation that a failure holds."""

DISTRIBUTION_PROMPTS: Final = 4
DISTRIBUTION_TOKENS: Final = 4
"""Tokens of a completion in a distribution test; all but the first are verified drafts."""
DISTRIBUTION_GUIDES: Final = 64
"""Plain completions from which the salt of a distribution test is taken."""

ROUNDS: Final = 12
"""How often the same cases are asked, with other salt, until a cell is conclusive."""

FEW: Final = 20
"""Observations behind the same tokens that are not worth a pass to test."""

Progress = Callable[[int, int], None]
"""Told how many completions of how many are there."""


class Certifier:
    """Certifies one engine; see `certify`."""

    def __init__(
        self,
        engine: TargetModel,
        prompts: Sequence[tuple[int, Sequence[int]]],
        wish: Wish,
        *,
        stop_tokens: frozenset[int],
        load: Load,
        progress: Progress,
    ) -> None:
        self.engine = engine
        self.wish = wish
        self._prompts = prompts
        self._stop_tokens = stop_tokens
        self._load = load
        self._progress = progress
        self._done = self._total = 0
        self._guide = Guide()
        self._drafters: dict[str, Drafter] = {}
        self.left_out: list[tuple[str, str]] = []

    # ---- what is run --------------------------------------------------------------------------

    def load(self, group: registry.Group, spec: str) -> Any:
        """What the loop gets: drafters are salted, and made once for all loops."""
        if group != "drafters" or spec == "none":
            return self._load(group, spec)

        def make(target: TargetModel) -> Drafter:
            if spec not in self._drafters:
                inner = self._load(group, spec)(target)
                name = spec.partition(":")[0]
                self._drafters[spec] = SaltedDrafter(inner, name, self._guide)
            return self._drafters[spec]

        return make

    def settings(self) -> list[Setting]:
        """Every combination that is asked for and goes together.

        Raises:
            UsageError: a part that was named does not exist or does not run here, or nothing is
                left.
        """
        wish = self.wish
        controllers = wish.controllers or tuple(dict.fromkeys(("fixed", Plan().controller)))
        found = [
            Setting(
                drafter,
                controller,
                self._num_draft_tokens(controller),
                verification,
                temperature,
                self._kind(verification, temperature),
            )
            for drafter in self._usable_drafters()
            for controller in controllers
            for verification in wish.verifications
            for temperature in wish.temperatures
        ]
        return [setting for setting in found if self._goes(setting)]

    def _num_draft_tokens(self, controller: str) -> int | None:
        if self.wish.num_draft_tokens is not None or controller.partition(":")[0] != "fixed":
            return self.wish.num_draft_tokens
        return NUM_DRAFT_TOKENS

    def _usable_drafters(self) -> list[str]:
        if self.wish.drafters is not None:
            for spec in self.wish.drafters:
                if spec == "none":
                    raise UsageError("The drafter 'none' is plain decoding itself; name another.")
                self.load("drafters", spec)(self.engine)
            return list(self.wish.drafters)
        usable = []
        for name in registry.names("drafters"):
            if name == "none":
                continue
            if name in INSTRUMENTS:
                self.left_out.append((name, "an instrument of the lab; tried where it is named"))
                continue
            try:
                self.load("drafters", name)(self.engine)
            except (OutriderError, TypeError) as error:
                self.left_out.append((name, str(error)))
            else:
                usable.append(name)
        return usable

    def _kind(self, verification: str, temperature: float) -> Kind:
        verifier = self._load("verifiers", verification)()
        if verifier.lossy:
            return "divergence"
        exact = temperature == 0.0 or verification == "coupled"
        return "equality" if exact else "distribution"

    def _goes(self, setting: Setting) -> bool:
        """Whether the loop takes the setting; what it refuses is left out with the reason."""
        case = Case(0, (0,), Sampling(), 0, 1)
        loop = Loop(self.engine, max_streams=1, load=self.load)
        try:
            loop.add(Asked(case, setting).job)
        except UsageError as error:
            parts = (setting.drafter, setting.controller, setting.verification)
            self.left_out.append((" with ".join(parts), str(error)))
            return False
        return True

    def cases(self, temperature: float) -> list[Case]:
        """Every prompt, greedily or with every seed."""
        seeds = (0,) if temperature == 0.0 else self.wish.seeds
        return [
            Case(
                index,
                tuple(tokens),
                self._sampling(temperature),
                derive_seed(seed, index),
                self.wish.max_tokens,
                self._stop_tokens,
            )
            for seed in seeds
            for index, tokens in self._prompts
        ]

    def _sampling(self, temperature: float) -> Sampling:
        return Sampling(temperature=temperature, top_p=1.0 if temperature == 0 else self.wish.top_p)

    # ---- running ------------------------------------------------------------------------------

    def run(self) -> Certificate:
        """Plain decoding first, then every setting."""
        settings = self.settings()
        if not settings:
            reasons = "; ".join(f"{what}: {why}" for what, why in self.left_out)
            raise UsageError(f"There is nothing to certify ({reasons}).")
        compared = [s for s in settings if s.kind != "distribution"]
        tested = [s for s in settings if s.kind == "distribution"]
        few = self._prompts[:DISTRIBUTION_PROMPTS]
        cases = {t: self.cases(t) for t in dict.fromkeys(s.temperature for s in compared)}
        self._total = sum(map(len, cases.values()))
        self._total += sum(len(cases[s.temperature]) for s in compared)
        guided = {s.temperature for s in tested}
        self._total += len(few) * (
            len(guided) * DISTRIBUTION_GUIDES + len(tested) * self.wish.draws
        )

        plain = {case: answer for some in cases.values() for case, answer in self._plain(some)}
        cells = {setting: Cell(setting) for setting in settings}
        room, cancelled = self._compare_all([cells[s] for s in compared], cases, plain)
        self._test_distributions([cells[s] for s in tested], few)
        return Certificate(list(cells.values()), self.left_out, room, cancelled)

    def _compare_all(
        self,
        cells: Sequence[Cell],
        cases: Mapping[float, Sequence[Case]],
        plain: Mapping[Key, Answer],
    ) -> tuple[int | None, int]:
        """Every case of every cell, and again with other salt where that was too little.

        Returns:
            The room that mixed batches had in the cache, and how many companions were cancelled.
        """
        by_setting = {cell.setting: cell for cell in cells}
        done: list[Asked] = []
        room, cancelled = None, 0
        for self._guide.round in range(ROUNDS):
            asked = [
                Asked(case, cell.setting)
                for cell in cells
                if self._guide.round == 0 or cell.status == "inconclusive"
                for case in cases[cell.setting.temperature]
            ]
            if not asked:
                break
            self._total += len(asked) if self._guide.round else 0
            room, companions = self._speculate(asked)
            cancelled += sum(one.answer.reason == "cancelled" for one in companions)
            for one in (*asked, *companions):
                self._compare(by_setting[_setting(one)], one, plain[_key(one.case)])
            done += asked
        for cell in cells:
            if cell.setting.kind == "divergence":
                mine = [one for one in done if one.setting == cell.setting]
                cell.divergence = _divergence(mine, plain)
        return room, cancelled

    def _plain(self, cases: Iterable[Case]) -> list[tuple[Key, Answer]]:
        """Plain decoding of each case, alone on the engine."""
        asked = [Asked(case) for case in cases]
        drive(Loop(self.engine, max_streams=1, load=self.load), asked, self._count)
        for one in asked:
            if one.answer.error:
                raise SamplingError(
                    f"Plain decoding of prompt {one.case.prompt} failed, so there is nothing to "
                    f"compare with: {one.answer.error}"
                )
            self._guide.add(one.case.tokens, one.answer.tokens)
        return [(_key(one.case), one.answer) for one in asked]

    def _speculate(self, asked: Sequence[Asked]) -> tuple[int | None, list[Asked]]:
        """The room there was in the cache, and the companions that were cancelled."""
        if not self.wish.batch:
            drive(Loop(self.engine, max_streams=1, load=self.load), asked, self._count)
            return None, []
        random = Random(derive_seed(self.wish.seeds[0], "batch"))
        shuffled = list(asked)
        random.shuffle(shuffled)
        longest = max((one.job.capacity for one in asked), default=1)
        streams = min(STREAMS, self.engine.capabilities.max_rows)
        with little_room(self.engine, longest * streams // 2) as room:
            loop = Loop(self.engine, max_streams=streams, load=self.load)
            return room, drive_mixed(loop, shuffled, random, self._count)

    def _count(self, ended: int) -> None:
        self._done += ended
        self._progress(self._done, self._total)

    # ---- comparing ----------------------------------------------------------------------------

    def _compare(self, cell: Cell, one: Asked, plain: Answer) -> None:
        """Take one answer into its cell."""
        answer, usage = one.answer, one.answer.usage
        cell.checked += 1
        cell.tokens += len(answer.tokens)
        cell.own += answer.own
        cell.accepted += usage.accepted_tokens
        cell.rejected += usage.draft_tokens - usage.accepted_tokens
        if usage.note:
            cell.notes.add(usage.note)
        if answer.error:
            cell.failures.append(self._failure(cell.setting, one, plain, answer.error))
        elif cell.setting.kind == "equality":
            cancelled = answer.reason == "cancelled"
            expected = plain.tokens[: len(answer.tokens)] if cancelled else plain.tokens
            if first_difference(expected, answer.tokens) is not None:
                why = "another token" + (" before it was cancelled" if cancelled else "")
                cell.failures.append(self._failure(cell.setting, one, plain, why))
            elif answer.reason != plain.reason and not cancelled:
                why = f"it ends by {answer.reason!r}, plain decoding by {plain.reason!r}"
                cell.failures.append(self._failure(cell.setting, one, plain, why))

    def _failure(self, setting: Setting, one: Asked, plain: Answer, why: str) -> Failure:
        """The first difference; its logits are computed anew, in a pass without drafts."""
        answer = one.answer
        found = first_difference(plain.tokens, answer.tokens)
        position = len(answer.tokens) if found is None else found
        logits = next_logits(self.engine, [*one.case.tokens, *plain.tokens[:position]])
        return Failure(
            setting,
            one.case.prompt,
            one.case.seed,
            position,
            _said(plain, position, logits),
            _said(answer, position, logits),
            tuple(plain.tokens[position : position + SHOWN]),
            tuple(answer.tokens[position : position + SHOWN]),
            why,
        )

    # ---- distributions ------------------------------------------------------------------------

    def _test_distributions(
        self, cells: Sequence[Cell], prompts: Sequence[tuple[int, Sequence[int]]]
    ) -> None:
        """Many short completions of each prompt against the target's exact distributions.

        Each token but the first was verified against a draft. Given what came before it, it has
        the distribution of the model's own logits there, so the statistics add up.
        """
        streams = min(STREAMS, self.engine.capabilities.max_rows)
        for temperature in {cell.setting.temperature for cell in cells}:
            guides = self._draws(temperature, prompts, "guide", DISTRIBUTION_GUIDES)
            self._plain(guides)
        exact: dict[tuple[int, ...], NDArray[np.float32]] = {}
        for cell in cells:
            cases = self._draws(cell.setting.temperature, prompts, "draw", self.wish.draws)
            asked = [Asked(case, cell.setting) for case in cases]
            drive(Loop(self.engine, max_streams=streams, load=self.load), asked, self._count)
            seen: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
            for one in asked:
                self._compare(cell, one, Answer())
                for i, token in enumerate(one.answer.tokens[1:], start=1):
                    seen[(*one.case.tokens, *one.answer.tokens[:i])][token] += 1
            sampling = self._sampling(cell.setting.temperature)
            sampler = Sampler(sampling, vocab_size=self.engine.vocab_size, seed=0)
            cell.chi_square = ChiSquare()
            for tokens, counts in seen.items():
                if counts.total() < FEW:
                    continue
                if tokens not in exact:
                    exact[tokens] = next_logits(self.engine, tokens)
                cell.chi_square += chi_square(counts, sampler.probabilities(exact[tokens]))

    def _draws(
        self, temperature: float, prompts: Sequence[tuple[int, Sequence[int]]], use: str, count: int
    ) -> list[Case]:
        """Short completions of each prompt, all with seeds of their own."""
        return [
            Case(
                index,
                tuple(tokens),
                self._sampling(temperature),
                derive_seed(self.wish.seeds[0], use, index, i),
                DISTRIBUTION_TOKENS,
            )
            for index, tokens in prompts
            for i in range(count)
        ]


Key = tuple[int, int, float]
"""What tells the cases of plain decoding apart: prompt, seed and temperature."""


def _key(case: Case) -> Key:
    return case.prompt, case.seed, case.sampling.temperature


def _setting(one: Asked) -> Setting:
    assert one.setting is not None, "plain decoding belongs to no cell"
    return one.setting


def _said(answer: Answer, position: int, logits: NDArray[np.float32]) -> Said | None:
    if position >= len(answer.tokens):
        return None
    token = answer.tokens[position]
    row = logits.astype(np.float64)
    total = float(row.max() + np.log(np.exp(row - row.max()).sum()))
    return Said(token, float(row[token]), float(row[token]) - total, answer.logprobs[position])


def _divergence(asked: Sequence[Asked], plain: Mapping[Key, Answer]) -> Divergence:
    answers = [(plain[_key(one.case)], one.answer) for one in asked]
    return divergence(
        [(a.tokens, b.tokens) for a, b in answers], [(a.logprobs, b.logprobs) for a, b in answers]
    )


def certify(
    engine: TargetModel,
    prompts: Sequence[tuple[int, Sequence[int]]],
    wish: Wish | None = None,
    *,
    stop_tokens: frozenset[int] = frozenset(),
    load: Load = registry.load,
    progress: Progress = lambda done, total: None,
) -> Certificate:
    """Compare speculation with plain decoding.

    Plain decoding runs alone. Drafts are forced and salted; see `SaltedDrafter`.

    Args:
        engine: the target model; nothing else may use it meanwhile.
        prompts: the index and the tokens of each.
        wish: what to certify.
        stop_tokens: end a completion.
        load: finds parts by group and spec.
        progress: told how many completions of how many are there.

    Raises:
        UsageError: a part does not exist or does not run here, there is nothing to certify, or a
            prompt does not fit the context with its answer.
        SamplingError: plain decoding fails.
    """
    wish = wish or Wish()
    if not prompts or not wish.seeds:
        raise UsageError("There is nothing to certify: give at least one prompt and one seed.")
    for index, tokens in prompts:
        if not 1 <= len(tokens) <= engine.context - wish.max_tokens:
            raise UsageError(
                f"Prompt {index} has {len(tokens)} tokens, and with {wish.max_tokens} more it has "
                f"to fit the context of {engine.context}; shorten it or ask for fewer."
            )
    certifier = Certifier(
        engine, prompts, wish, stop_tokens=stop_tokens, load=load, progress=progress
    )
    return certifier.run()
