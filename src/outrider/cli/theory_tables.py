"""The tables of `outrider theory`: expected tokens, best draft lengths, break-even."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outrider.cli.output import console

if TYPE_CHECKING:
    from rich.table import Table

    from outrider.theory import RowsCost

LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16)
"""The draft lengths that tables show."""
SIGNS = {"alpha": "α", "num_draft_tokens": "K", "c": "c"}


@dataclass(frozen=True, slots=True)
class Curve:
    """What passes cost.

    Attributes:
        v: as a function of the number of rows.
        points: where it was given, in passes over one row; empty where rows cost nothing.
        longest: the longest draft that it covers.
    """

    v: RowsCost
    points: Mapping[int, float]
    longest: int


def speedup_tables(alphas: Sequence[float], costs: Sequence[float], curve: Curve) -> dict[str, Any]:
    """All that `outrider theory` prints; with one α and one c also the speed-up by K.

    Raises:
        UsageError: a value out of range.
    """
    from outrider import theory as formulas  # noqa: PLC0415

    v, longest = curve.v, curve.longest
    lengths = [k for k in LENGTHS if k <= longest]
    best = [(a, c, formulas.best_length(a, c, v, longest)) for a in alphas for c in costs]
    lowest = [(c, formulas.lowest_break_even(c, v, longest)) for c in costs]
    values: dict[str, Any] = {
        "num_draft_tokens": longest,
        "rows_cost": {str(rows): cost for rows, cost in curve.points.items()},
        "expected_tokens": [
            {"alpha": a, "num_draft_tokens": k, "tokens": formulas.expected_tokens(a, k)}
            for a in alphas
            for k in lengths
        ],
        "best": [
            {"alpha": a, "c": c, "num_draft_tokens": b.length, "speedup": b.speedup}
            for a, c, b in best
        ],
        "break_even": [
            {"c": c, "num_draft_tokens": k, "alpha": formulas.break_even(c, k, v)}
            for c in costs
            for k in lengths
        ],
        "lowest_break_even": [
            {"c": c, "num_draft_tokens": b and b.length, "alpha": b and b.alpha} for c, b in lowest
        ],
    }
    if len(best) == 1:
        ((alpha, c, found),) = best
        values["by_length"] = [
            {
                "num_draft_tokens": k,
                "tokens": formulas.expected_tokens(alpha, k),
                "acceptance_rate": formulas.acceptance_rate(alpha, k),
                "speedup": formulas.speedup(alpha, c, k, v),
                "break_even_alpha": formulas.break_even(c, k, v),
            }
            for k in sorted({*range(1, min(longest, 8) + 1), *lengths, max(found.length, 1)})
        ]
    return values


def print_speedup_tables(values: Mapping[str, Any]) -> None:
    """What `speedup_tables` computed."""
    out, longest = console(), values["num_draft_tokens"]
    out.print("Tokens a pass E = 1 + α + … + α^K; speed-up S = E / (K·c + v(K + 1)).")
    out.print("α: acceptance; K: tokens drafted; c: cost of drafting one; v(M): cost of M rows.")
    points = (f"{rows}→{cost:.2f}" for rows, cost in values["rows_cost"].items())
    out.print(f"v: {', '.join(points) or 'rows cost nothing, v = 1'}; K up to {longest}.")
    if "by_length" in values:
        _print_lengths(values)
        return
    _print_matrix(
        "Expected tokens a pass",
        ("alpha", "num_draft_tokens"),
        values["expected_tokens"],
        lambda cell: f"{cell['tokens']:.2f}",
    )
    _print_matrix(
        "Best K, and the speed-up with it",
        ("alpha", "c"),
        values["best"],
        lambda cell: f"{cell['num_draft_tokens']}  {cell['speedup']:.2f}",
    )
    least = [{**cell, "num_draft_tokens": "any"} for cell in values["lowest_break_even"]]
    _print_matrix(
        "Break-even: the α above which K tokens pay",
        ("num_draft_tokens", "c"),
        [*values["break_even"], *least],
        lambda cell: _alpha(cell["alpha"]),
    )


def _print_lengths(values: Mapping[str, Any]) -> None:
    """One value of α and one of c."""
    (best,), (least,) = values["best"], values["lowest_break_even"]
    table = titled_table("Speed-up by K")
    for heading in ("K", "tokens a pass", "accepted / drafted", "speed-up", "break-even α"):
        table.add_column(heading, justify="right")
    for row in values["by_length"]:
        table.add_row(
            str(row["num_draft_tokens"]),
            f"{row['tokens']:.2f}",
            f"{row['acceptance_rate']:.1%}",
            f"{row['speedup']:.2f}",
            _alpha(row["break_even_alpha"]),
        )
    at = f"At α = {best['alpha']:g} and c = {best['c']:g}"
    if best["num_draft_tokens"]:
        verdict = f"K = {best['num_draft_tokens']} is best: {best['speedup']:.2f} times plain."
    else:
        verdict = "no draft pays."
    if least["alpha"] is None:
        limit = f"At c = {least['c']:g} none pays, whatever α."
    else:
        limit = (
            f"At c = {least['c']:g} some K pays where α is above {least['alpha']:.3f}, "
            f"K = {least['num_draft_tokens']} first."
        )
    out = console()
    out.print(table)
    out.print(f"\n{at}, {verdict}\n{limit}")


def _print_matrix(
    title: str,
    keys: tuple[str, str],
    cells: Iterable[dict[str, Any]],
    show: Callable[[dict[str, Any]], str],
) -> None:
    """A table of cells by two of their keys, rows and columns; in parts where it is wide."""
    row_key, column_key = keys
    grid = {(cell[row_key], cell[column_key]): show(cell) for cell in cells}
    # A dict, unlike a set, keeps the order.
    rows, columns = (list(dict.fromkeys(values)) for values in zip(*grid, strict=True))
    heading = f"{SIGNS[row_key]} \\ {SIGNS[column_key]}"
    out = console()
    gap = 2
    width = max(map(len, [*grid.values(), *map(_plain, columns)])) + gap
    side = max(map(len, [heading, *map(_plain, rows)])) + gap
    fit = max((out.width - side) // width, 1)
    for start in range(0, len(columns), fit):
        part = columns[start : start + fit]
        table = titled_table(title)
        table.add_column(heading)
        for value in part:
            table.add_column(_plain(value), justify="right")
        for value in rows:
            table.add_row(_plain(value), *(grid[value, c] for c in part))
        out.print(table)


def _plain(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def titled_table(title: str) -> Table:
    """An empty table; its title is printed now, because a table wraps it to its own width."""
    from rich.table import Table  # noqa: PLC0415

    console().print(f"\n[bold]{title}[/bold]")
    return Table(box=None, pad_edge=False, header_style="dim")


def _alpha(value: float | None) -> str:
    return "never" if value is None else f"{value:.3f}"
