"""Ours beside other engines, each at its best of plain decoding and what it drafts with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final

from outrider import models
from outrider.errors import OutriderError, UsageError, unknown_name
from outrider.lab.contest import WARM_UP_TOKENS, Sample, end_to_end_of
from outrider.lab.experiment import (
    PLAIN_ARM,
    Arm,
    Bench,
    Cell,
    Experiment,
    Measured,
    Plot,
    Section,
    Setup,
    Table,
)
from outrider.lab.experiments.words import share, times, verdict
from outrider.lab.peers.contestants import PEERS, Contestant, contestants
from outrider.lab.peers.copies import SAME_FILE
from outrider.lab.peers.pool import Pool
from outrider.lab.plots import strips
from outrider.lab.results import Results
from outrider.lab.speed_bench import by_prompt
from outrider.lab.speed_bench import times as times_of
from outrider.lab.statistics import equal_tokens, looping
from outrider.plan import Plan
from outrider.style import COLOURS
from outrider.types import Usage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OURS: Final = Arm(name="default")
"""Speculation as it is unless told otherwise."""
DRAFT_ARM: Final = "draft model"
SHOWN: Final = {
    PLAIN_ARM.name: "Outrider, plain",
    OURS.name: "Outrider",
    DRAFT_ARM: "Outrider, draft model",
}
REASON, SIDE = "reason", "side"


class Peers(Experiment):
    """How fast other engines answer the same prompts with the same model.

    Args:
        without: engines that are left out, in small letters, joined by +: vllm+transformers.

    Raises:
        UsageError: there is no such engine.
    """

    name: ClassVar[str] = "peers"
    title: ClassVar[str] = "Other engines"
    question: ClassVar[str] = "How fast is it beside other engines, which draft too?"
    on_request: ClassVar[bool] = True

    def __init__(self, *, without: str = "") -> None:
        self._pool: Pool | None = None
        known = {peer.lower().partition(" ")[0]: peer for peer in PEERS}
        named = without.split("+") if without else []
        for name in named:
            if name not in known:
                raise unknown_name("engine", name, known)
        self._left_out = [known[name] for name in named]

    def arms(self, setup: Setup) -> Sequence[Arm]:
        """Ours, plain and as it comes, and every way of answering of every other engine."""
        if setup.settings.get("temperature", 0.0) or set(setup.settings) - {"temperature"}:
            named = ", ".join(f"{name}={value}" for name, value in setup.settings.items())
            raise UsageError(
                f"The experiment {self.name!r} compares greedy answers; leave out {named}."
            )
        drafted = [Arm(name=DRAFT_ARM, settings={"drafter": setup.drafter})]
        return [
            PLAIN_ARM,
            OURS,
            *(drafted if _draft_model(setup) else ()),
            *(
                Arm(name=contestant.name)
                for contestant in contestants(quick=setup.quick)
                if contestant.peer not in self._left_out
            ),
        ]

    def warm_up(self, bench: Bench, arms: Sequence[Arm]) -> None:
        """Make what environments are missing, start every side, and let it answer once."""
        theirs = _by_arm(bench.setup)
        super().warm_up(bench, [arm for arm in arms if arm.name not in theirs])
        self._pool = open_pool(bench)
        for arm in arms:
            if arm.name in theirs:
                cell = Cell(experiment=self.name, arm=arm.name, group=0, repeat=0)
                # What cannot be done is told where it is measured.
                with suppress(OutriderError):
                    self._ask(bench, theirs[arm.name], cell, WARM_UP_TOKENS)

    def measure(self, bench: Bench, arm: Arm, cell: Cell) -> Measured:
        """An answer of ours or of another engine, or why there is none."""
        contestant = _by_arm(bench.setup).get(arm.name)
        if contestant is None:
            return super().measure(bench, arm, cell)
        assert self._pool is not None
        try:
            answer = self._ask(bench, contestant, cell, bench.setup.max_tokens)
            return Measured(samples=(answer,), values={SIDE: self._pool.report(contestant)})
        except OutriderError as error:
            return Measured(values={REASON: str(error)})

    def close(self) -> None:
        """End the sides."""
        if self._pool is not None:
            self._pool.close()

    def _ask(self, bench: Bench, contestant: Contestant, cell: Cell, max_tokens: int) -> Sample:
        """An answer of another engine, as an answer of ours would be kept."""
        assert self._pool is not None
        setup, llm = bench.setup, bench.llm
        prompt = self.prompts(setup)[cell.group]
        asked = llm.encode(prompt.request(raw=setup.raw or not llm.has_chat_template))
        stop = llm.tokenizer.stop_ids
        said = self._pool.generate(contestant, asked, max_tokens, sorted(stop))
        tokens = tuple(said["tokens"])
        ended = bool(tokens) and tokens[-1] in stop
        tokens = tokens[:-1] if ended else tokens
        first_ms, decode_ms = said["prefill"] * 1000, said["decode"] * 1000
        return Sample(
            plan=cell.arm,
            prompt=prompt.index,
            category=prompt.category,
            repeat=cell.repeat,
            group=cell.group,
            tokens=tokens,
            reason="stop" if ended else "length",
            usage=Usage(
                prompt_tokens=len(asked),
                completion_tokens=len(tokens),
                first_token_ms=first_ms,
                decode_ms=decode_ms,
                total_ms=first_ms + decode_ms,
            ),
        )

    def section(self, results: Results) -> Section:
        """Ours against the fastest setting of every engine on every file."""
        best = _best(results)
        same = [name for (_, file), name in best.items() if file == SAME_FILE]
        findings = ["No other engine computed the same file here."]
        if same:
            fastest = max(same, key=lambda name: results.times(name).per_second)
            findings = [
                verdict("Outrider", results.total(OURS.name, fastest), f"the fastest, {fastest}"),
                verdict("Plain decoding", results.total(PLAIN_ARM.name, fastest), "that"),
            ]
        if self._left_out:
            findings.append(f"Left out, as asked: {', '.join(self._left_out)}.")
        missing = _missing(results)
        if missing:
            findings.append(
                f"Not measured: {', '.join(dict.fromkeys(missing))}; why is said below."
            )
        return Section(
            findings=findings,
            plots=(
                Plot(
                    "peers",
                    "How many times as fast as each engine's best Outrider decodes: every prompt a "
                    "dot, all prompts together the bar with its interval.",
                    lambda figure: _draw(figure, results, best),
                    height=max(0.09 * len(best) + 0.12, 0.4),
                ),
            ),
            tables=(
                Table(
                    (
                        "engine and weights",
                        "its best",
                        "tokens/s",
                        "Outrider, times",
                        "without looping answers",
                        "Outrider plain, times",
                        "equal",
                    ),
                    [_best_row(results, *key, name) for key, name in best.items()],
                    "Decode speed over all prompts; Outrider speculates as it does by default. "
                    "equal: the share of tokens that stand before the first difference from "
                    "Outrider's.",
                ),
                Table(
                    ("", "tokens/s", "from the question on", "times plain Outrider", "equal"),
                    [_row(results, arm) for arm in results.arms if results.samples(arm)],
                    "Every setting that was measured.",
                ),
                *_missing_table(results, missing),
                Table(("engine", "versions"), _versions(results)),
            ),
            notes=(
                "Every answer begins anew, with nothing learnt from earlier prompts; each engine "
                "computes while all others are stopped. Copies of the file are other weights: "
                "Q4_0 is the type that llama.cpp computes fastest, 8 bits a weight and a scale a "
                "channel what OpenVINO drafts fastest with, bfloat16 what transformers unpacks the "
                "file to.",
                _drafts_with(results.setup),
            ),
        )


def open_pool(bench: Bench) -> Pool:
    """The sides of other engines on the model of a bench; none is started yet."""
    draft = _draft_model(bench.setup)
    return Pool(
        models.ensure(bench.setup.model, offline=True),
        draft=models.ensure(draft, offline=True) if draft else None,
        threads=bench.llm.model.facts["threads"],
        context=bench.setup.context,
    )


def _draft_model(setup: Setup) -> str | None:
    """The model that was named to draft."""
    return Plan(drafter=setup.drafter).draft_model


def _drafts_with(setup: Setup) -> str:
    draft = _draft_model(setup)
    if draft is not None:
        return f"The draft model is {draft}."
    return (
        "The draft model of other engines is the model's own Q4_0 copy, which costs nearly what "
        "the model does; `--draft-model` names another."
    )


def _by_arm(setup: Setup) -> dict[str, Contestant]:
    return {contestant.name: contestant for contestant in contestants(quick=setup.quick)}


def _best(results: Results) -> dict[tuple[str, str], str]:
    """The fastest arm of each engine on each file, by engine and file."""
    groups: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for name, contestant in _by_arm(results.setup).items():
        if results.samples(name):
            groups[contestant.peer, contestant.file].append(name)
    return {
        key: max(names, key=lambda name: results.times(name).per_second)
        for key, names in groups.items()
    }


def equal_share(results: Results, arm: str) -> float:
    """Of the tokens of an arm or of ours, the longer answer's, the share before they differ."""
    ours = {(s.prompt, s.repeat): s.tokens for s in results.samples(PLAIN_ARM.name)}
    pairs = [(ours[s.prompt, s.repeat], s.tokens) for s in results.samples(arm)]
    equal = sum(equal_tokens(*pair) for pair in pairs)
    return equal / max(1, sum(max(map(len, pair)) for pair in pairs))


def _straight(results: Results, arms: Iterable[str]) -> Results:
    """Only the prompts that none of these arms answers in a loop."""
    loops = {s.prompt for arm in arms for s in results.samples(arm) if looping(s.tokens)}
    kept = [m for m in results.measurements if not loops & {s.prompt for s in m.samples}]
    return Results(results.setup, kept)


def _best_row(results: Results, peer: str, file: str, name: str) -> tuple[str, ...]:
    straight = _straight(results, (OURS.name, name))
    return (
        f"{peer}, {file}",
        _setting(results.setup, name),
        f"{results.times(name).per_second:.1f}",
        times(results.total(OURS.name, name)),
        times(straight.total(OURS.name, name)),
        times(results.total(PLAIN_ARM.name, name)),
        share(equal_share(results, name)),
    )


def _setting(setup: Setup, name: str) -> str:
    contestant = _by_arm(setup)[name]
    return ", ".join(filter(None, (contestant.mode, contestant.setting)))


def _row(results: Results, arm: str) -> tuple[str, ...]:
    whole = times_of(results.samples(arm), by_prompt, end_to_end_of)
    return (
        SHOWN.get(arm, arm),
        f"{results.times(arm).per_second:.1f}",
        f"{whole.per_second:.1f}",
        "1" if arm == PLAIN_ARM.name else times(results.total(arm)),
        share(equal_share(results, arm)),
    )


def _missing(results: Results) -> dict[str, list[str]]:
    """The reasons for which arms gave no answer, one a prompt."""
    found: dict[str, list[str]] = {}
    for arm in results.arms:
        reasons = [m.values[REASON] for m in results.of(arm) if REASON in m.values]
        if reasons:
            found[arm] = reasons
    return found


def _missing_table(results: Results, missing: Mapping[str, Sequence[str]]) -> list[Table]:
    rows = [
        (arm, f"{len(reasons)} of {len(results.of(arm))}", reasons[0])
        for arm, reasons in missing.items()
    ]
    heading = ("not measured", "answers missing", "why")
    return [Table(heading, rows)] if rows else []


def _versions(results: Results) -> list[tuple[str, str]]:
    """What each engine says of itself."""
    found: dict[str, Mapping[str, Any]] = {}
    for name, contestant in _by_arm(results.setup).items():
        for measurement in results.of(name):
            if SIDE in measurement.values:
                found[contestant.peer] = measurement.values[SIDE]["versions"]
    return [
        (peer, ", ".join(f"{name} {version}" for name, version in versions.items()))
        for peer, versions in found.items()
    ]


def _draw(figure: Figure, results: Results, best: Mapping[tuple[str, str], str]) -> None:
    axes = figure.subplots()
    names = list(best.values())
    peers = list(dict.fromkeys(peer for peer, _ in best))
    strips(
        axes,
        [f"{peer}, {file}" for peer, file in best],
        [results.ratios(OURS.name, name) for name in names],
        [results.total(OURS.name, name) for name in names],
        [COLOURS[peers.index(peer) % len(COLOURS)] for peer, _ in best],
    )
    axes.set_xlabel("Outrider, times as fast")
