"""The summary of `outrider bench thinking`, in the form that users of that benchmark know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from outrider.lab.statistics import Interval
    from outrider.lab.thinking_bench import Answer, Arm

WIDTH: Final = 80
RULE: Final = "=" * WIDTH
LINE: Final = "-" * WIDTH

ROWS: Final = (
    ("Mean", "mean"),
    ("Median", "median"),
    ("Std", "std"),
    ("Min", "min"),
    ("Max", "max"),
)


def summary_lines(answers: Sequence[Answer]) -> list[str]:
    """The lines, at most 80 cells wide."""
    from outrider.lab.thinking_bench import compare, figures  # noqa: PLC0415

    large, pair = figures(answers, "large_model"), figures(answers, "speculative_thinking")
    # Where only the small model was measured, it stands in the first column.
    first, title = (
        (large, "Large Model") if large else (figures(answers, "small_model"), "Small Model")
    )
    columns = (first or {}, pair or {})
    lines = [RULE, "BENCHMARK RESULTS SUMMARY", RULE]
    lines += _block("1. LATENCY (seconds)", title, "Speedup")
    lines += [_row(name, key, "latency", columns, "s", 15, 2, faster=True) for name, key in ROWS]
    lines += _block("2. THROUGHPUT (tokens/second)", title, "Improvement")
    lines += [
        _row(name, key, "tokens_per_second", columns, " t/s", 13, 2, faster=False)
        for name, key in ROWS
    ]
    lines += _block("3. TOKEN GENERATION", title)
    lines += [_row(f"{n} Tokens", k, "total_tokens", columns, "", 16, 1) for n, k in ROWS]
    lines += _block("4. LARGE MODEL USAGE RATIO", title)
    for name, key in ROWS:
        lines.append(_row(f"{name} Ratio", key, "large_model_ratio", columns, "%", 14, 1))
    lines.append(_row("Mean, Nominal", "mean", "large_model_ratio_nominal", columns, "%", 14, 1))
    lines.append(_row("Mean Validations", "mean", "validations", columns, "", 16, 1))
    lines += _block("5. ACCURACY AND REJECTED WORK", title)
    lines.append(_row("Accuracy", "mean", "accuracy", columns, "%", 14, 1))
    lines.append(_row("Rejected Tokens", "mean", "rejected_share", columns, "%", 14, 1))
    lines.append(_row("Orchestration Time", "mean", "orchestration_share", columns, "%", 14, 1))
    lines += ["", *_intervals(answers), RULE]
    found = compare(answers)
    if found is not None:
        lines += [
            f"OVERALL SPEEDUP: {found.speedup:.2f}x",
            f"THROUGHPUT IMPROVEMENT: {found.throughput_improvement:.2f}x",
            f"LARGE MODEL TOKEN REDUCTION: {found.large_model_reduction:.1%}",
            RULE,
        ]
    return lines


def _block(title: str, first: str, last: str = "") -> list[str]:
    heading = f"{'Metric':<20} {first:<20} {'Spec Thinking':<20} {last}".rstrip()
    return ["", title, LINE, heading, LINE]


def _row(
    name: str,
    key: str,
    metric: str,
    columns: Sequence[dict[str, dict[str, float]]],
    unit: str,
    width: int,
    digits: int,
    *,
    faster: bool | None = None,
) -> str:
    """A row: a value of each column, and where it is asked for their ratio.

    Args:
        name: of the row.
        key: of the statistic.
        metric: that it is of.
        columns: the arms' figures; empty for an arm that was not measured.
        unit: behind each value; a percentage is of one.
        width: of the first value.
        digits: behind the point.
        faster: whether the ratio is the first over the second, or the other way round; None for
            no ratio. A deviation has none.
    """
    values = [column[metric][key] if column else None for column in columns]
    cells = []
    for value, cell in zip(values, (width, 19 - len(unit)), strict=True):
        scaled = None if value is None else value * (100 if unit == "%" else 1)
        shown = "-" if scaled is None else f"{scaled:.{digits}f}{unit}"
        cells.append(f"{shown:>{cell + len(unit)}}")
    text = f"{name:<20} {cells[0]} {cells[1]}"
    first, second = values
    if faster is None or key == "std" or not first or not second:
        return text
    ratio = first / second if faster else second / first
    return f"{text} {ratio:>18.2f}x"


def _intervals(answers: Sequence[Answer]) -> list[str]:
    """95% intervals over problems, where there are several."""
    from outrider.lab.statistics import ENOUGH  # noqa: PLC0415
    from outrider.lab.thinking_bench import accuracy, compare, of_arm  # noqa: PLC0415

    lines = []
    names: tuple[tuple[Arm, str], ...] = (
        ("large_model", "large model"),
        ("small_model", "small model"),
        ("speculative_thinking", "spec thinking"),
    )
    for arm, name in names:
        if of_arm(answers, arm):
            right = [a.correct for a in of_arm(answers, arm)]
            lines.append(
                f"accuracy, {name}: {sum(right)} of {len(right)}"
                f"{_range(accuracy(of_arm(answers, arm)), '{:.1%}')}"
            )
    found = compare(answers)
    if found is not None:
        lines += [
            f"speedup: {found.speedup:.2f}x{_range(found.speedup_interval, '{:.2f}')}",
            f"accuracy difference: {found.accuracy_difference.value:+.1%}"
            f"{_range(found.accuracy_difference, '{:+.1%}')}",
        ]
    problems = len({a.problem for a in answers})
    lines.append(
        f"intervals: 95%, over {problems} problem{'s' if problems > 1 else ''}"
        + ("; fewer than 5 are too few to believe them" if problems < ENOUGH else "")
    )
    return lines


def _range(interval: Interval | None, form: str) -> str:
    if interval is None or interval.low is None or interval.high is None:
        return ""
    return f" ({form.format(interval.low)} to {form.format(interval.high)})"
