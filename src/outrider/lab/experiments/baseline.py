"""Plain decoding by category: what everything else is held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from outrider.lab.contest import Sample
from outrider.lab.experiment import PLAIN_ARM, Arm, Experiment, Plot, Section, Setup, Table
from outrider.lab.results import Results
from outrider.style import COLOURS, INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PERCENTILES = (50, 90, 99)
ALL = "all"


class Baseline(Experiment):
    """How fast the model answers without drafts."""

    name: ClassVar[str] = "baseline"
    title: ClassVar[str] = "Plain decoding"
    question: ClassVar[str] = "How fast does the model answer without drafts?"

    def arms(self, setup: Setup) -> Sequence[Arm]:
        """Plain decoding alone."""
        return [PLAIN_ARM]

    def section(self, results: Results) -> Section:
        """Speed, time to first token and time a token, by category."""
        samples = results.samples(PLAIN_ARM.name)
        figures = results.figures(PLAIN_ARM.name)
        first = median(s.usage.first_token_ms for s in samples)
        paces = _pass_ms(samples)
        groups = {
            ALL: samples,
            **{c: [s for s in samples if s.category == c] for c in results.categories()},
        }
        p50, p99 = np.percentile(paces, [50, 99]) if paces else (0.0, 0.0)
        return Section(
            findings=(
                f"{figures.tokens_per_second:.1f} tokens a second.",
                f"The first token comes after {first:.0f} ms in the median; each further one takes "
                f"{p50:.1f} ms, and one in a hundred more than {p99:.1f} ms.",
            ),
            plots=(
                Plot(
                    "baseline",
                    "The time of every token behind the first, by category; the long bar is the "
                    "median, and one token in ten is beyond the short one. Below, the time to the "
                    "first token by the length of the prompt.",
                    lambda figure: _draw(figure, groups),
                    height=1.05,
                ),
            ),
            tables=(
                Table(
                    (
                        "category",
                        "tokens/s",
                        "first token, ms",
                        *(f"p{p}, ms" for p in PERCENTILES),
                        "prompt tokens",
                    ),
                    [_row(name, each) for name, each in groups.items() if each],
                    "p50, p90, p99: percentiles of the time of a token behind the first.",
                ),
            ),
        )

    def answers(self, results: Results) -> Mapping[str, str]:
        """The throughput."""
        return {"throughput": self.section(results).findings[0]}


def _pass_ms(samples: Sequence[Sample]) -> list[float]:
    """Milliseconds of every pass behind a first token."""
    return [ms for s in samples for each in s.passes.values() for ms in each]


def _row(name: str, samples: Sequence[Sample]) -> tuple[str, ...]:
    ms, tokens = (sum(s.decode[i] for s in samples) for i in (0, 1))
    paces = _pass_ms(samples)
    return (
        name,
        f"{tokens / ms * 1000:.1f}" if ms else "–",
        f"{median(s.usage.first_token_ms for s in samples):.0f}",
        *(f"{np.percentile(paces, p):.2f}" if paces else "–" for p in PERCENTILES),
        f"{median(len(s.prompt_tokens) for s in samples):.0f}",
    )


def _draw(figure: Figure, groups: dict[str, list[Sample]]) -> None:
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 2))
    shown = [(name, paces) for name, each in groups.items() if (paces := _pass_ms(each))]
    for row, (name, paces) in enumerate(shown):
        colour = INK if name == ALL else COLOURS[0]
        upper.plot(paces, [row] * len(paces), "o", color=colour, alpha=0.2, markersize=3)
        half, most = np.percentile(paces, [50, 90])
        upper.vlines(half, row - 0.36, row + 0.36, color=colour, linewidth=2)
        upper.vlines(most, row - 0.2, row + 0.2, color=colour, linewidth=1.2)
    upper.set_yticks(range(len(shown)), [name for name, _ in shown])
    upper.set_ylim(len(shown) - 0.5, -0.5)
    upper.set_xlim(left=0)
    upper.set_xlabel("ms a token")
    samples = groups[ALL]
    lower.plot(
        [len(s.prompt_tokens) for s in samples],
        [s.usage.first_token_ms for s in samples],
        "o",
        color=COLOURS[1],
        alpha=0.7,
        markersize=4,
    )
    lower.set_xlim(left=0)
    lower.set_ylim(bottom=0)
    lower.set_xlabel("tokens of the prompt")
    lower.set_ylabel("ms to the first token")
