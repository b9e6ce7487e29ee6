"""`outrider theory`: what speculation can be expected to bring, by formula."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from outrider.cli.options import Json, command
from outrider.cli.output import console, facts, print_json
from outrider.cli.theory_tables import (
    Curve,
    print_speedup_tables,
    speedup_tables,
    titled_table,
)
from outrider.cli.values import parse_cost, parse_count, parse_numbers, show_count
from outrider.errors import UsageError

if TYPE_CHECKING:
    from outrider.theory import BestTree
    from outrider.tree import Tree

app = typer.Typer(rich_markup_mode=None)

MOST = 256
"""Drafted tokens that are still planned for in seconds."""

Cost = Annotated[
    str | None,
    typer.Option(
        metavar="CURVE",
        help="Costs of a pass over 1, 2, ... rows, in any unit, or the file that "
        "`outrider bench engine --json` wrote. [default: rows cost nothing]",
    ),
]


@app.callback(invoke_without_command=True)
@command
def theory(
    ctx: typer.Context,
    alpha: Annotated[
        str,
        typer.Option(metavar="LIST", help="Probabilities that a drafted token is accepted."),
    ] = "0.6,0.7,0.8,0.9",
    c: Annotated[
        str,
        typer.Option(
            "--c", metavar="LIST", help="Costs of drafting a token, in passes over one row."
        ),
    ] = "0.05,0.1,0.25,0.4",
    cost: Cost = None,
    num_draft_tokens: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Tokens drafted a pass, at most. [default: 64, or what --cost covers]"
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show what speculation can be expected to bring.

    Expected tokens a pass, the best draft length K with its speed-up, and the acceptance at which
    drafting breaks even. With one value of alpha and one of c, the speed-up of each K instead.
    """
    if ctx.invoked_subcommand is not None:
        _refuse_options_before(ctx, ctx.invoked_subcommand)
        return
    values = speedup_tables(
        parse_numbers("--alpha", alpha), parse_numbers("--c", c), _curve(cost, num_draft_tokens)
    )
    if json:
        print_json(values)
    else:
        print_speedup_tables(values)


def _refuse_options_before(ctx: typer.Context, subcommand: str) -> None:
    for name in ctx.params:
        source = ctx.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(
                f"--{name.replace('_', '-')} stands before `{subcommand}` and would be ignored; "
                f"options of `{subcommand}` stand behind it."
            )


def _curve(cost: str | None, num_draft_tokens: int | None) -> Curve:
    from outrider import theory as formulas  # noqa: PLC0415

    if num_draft_tokens is not None and not 1 <= num_draft_tokens <= MOST:
        raise UsageError(f"--num-draft-tokens has to lie in [1, {MOST}], not {num_draft_tokens}.")
    if cost is None:
        return Curve(formulas.flat, {}, num_draft_tokens or formulas.LONGEST)
    points = parse_cost(cost)
    v = formulas.rows_cost(points)
    last = max(points)
    if num_draft_tokens is not None and num_draft_tokens >= last:
        raise UsageError(
            f"--cost ends at {last} rows, which is a draft of {last - 1} tokens, "
            f"not of {num_draft_tokens}."
        )
    longest = num_draft_tokens or min(formulas.LONGEST, last - 1)
    return Curve(v, {rows: v(rows) for rows in sorted(points)}, longest)


# ------------------------------------------------------------------------------------- trees


@app.command("tree")
@command
def tree(
    acceptance: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="How often the target picks a node's first child, its second, and so on.",
        ),
    ],
    num_draft_tokens: Annotated[
        int | None,
        typer.Option(metavar="N", help="Nodes, at most. [default: 16, or what --cost covers]"),
    ] = None,
    depth: Annotated[
        int | None, typer.Option(metavar="N", help="Levels, at most. [default: as many as nodes]")
    ] = None,
    c: Annotated[
        float,
        typer.Option("--c", metavar="C", help="Cost of drafting a level, in passes over one row."),
    ] = 0.0,
    cost: Cost = None,
    json: Json = False,
) -> None:
    """Show the best draft tree for the acceptance of siblings.

    Of all trees within the limits it is the one with most expected tokens a unit of time. A node's
    first child is the one drawn to its right.
    """
    from outrider import theory as formulas  # noqa: PLC0415

    shares = parse_numbers("--acceptance", acceptance)
    curve = _curve(cost, num_draft_tokens)
    v, nodes = curve.v, num_draft_tokens or min(curve.longest, 16)
    best = formulas.best_tree(shares, nodes=nodes, depth=depth, c=c, v=v)
    chain = formulas.best_length(shares[0], c, v, nodes if depth is None else min(nodes, depth))
    levels = max((len(best.tree.path(node)) for node in range(len(best.tree))), default=0)
    if json:
        print_json(
            {
                "parents": list(best.tree.parents),
                "ranks": list(best.tree.tokens),
                "levels": levels,
                "expected_tokens": best.expected_tokens,
                "speedup": best.speedup,
                "chain": {"num_draft_tokens": chain.length, "speedup": chain.speedup},
            }
        )
        return
    _print_tree(best, levels, f"{chain.speedup:.2f} with the best chain, of {chain.length}")


def _print_tree(best: BestTree, levels: int, against: str) -> None:
    out = console()
    lines = picture(best.tree)
    if max(map(len, lines)) <= out.width:
        out.print("\n".join(lines))
    else:
        out.print(f"(A picture of {levels} levels needs {2 * levels + 1} columns.)")
    table = facts("\nBest tree")
    table.add_row("nodes", str(len(best.tree)))
    table.add_row("levels", str(levels))
    table.add_row("tokens a pass", f"{best.expected_tokens:.2f}")
    table.add_row("speed-up", f"{best.speedup:.2f}; {against}")
    table.add_row("parents", " ".join(map(str, best.tree.parents)) or "none")
    out.print(table)


def picture(tree: Tree) -> list[str]:
    """The tree as lines of text: the root on the left, first children in its line."""
    from outrider.tree import ROOT  # noqa: PLC0415

    def below(node: int) -> list[str]:
        lines = ["○" if node == ROOT else "●"]
        children = list(tree.children(node))
        for child in children:
            last = child == children[-1]
            first, *others = below(child)
            if child == children[0]:
                lines[0] += f"─{first}"
            else:
                lines.append(f"{'└' if last else '├'}─{first}")
            lines += [f"{' ' if last else '│'} {line}" for line in others]
        return lines

    return below(ROOT)


# ------------------------------------------------------------------------------- acceptance


@app.command("acceptance")
@command
def acceptance(
    target: Annotated[str, typer.Option(metavar="LIST", help="The target's logits.")],
    draft: Annotated[str, typer.Option(metavar="LIST", help="The draft's logits.")],
    temperature: Annotated[
        str, typer.Option(metavar="LIST", help="Temperatures of both.")
    ] = "0,0.1,0.5,0.7,1,1.5,2",
    json: Json = False,
) -> None:
    """Show how acceptance depends on the temperature.

    For the logits of one position: a sampled draft under rejection (1 - TV), under coupling, and
    where the target's own sample has to repeat it; and a draft that is always the likeliest token.
    """
    from dataclasses import asdict  # noqa: PLC0415

    from outrider import theory as formulas  # noqa: PLC0415

    curves = formulas.acceptance_by_temperature(
        parse_numbers("--target", target),
        parse_numbers("--draft", draft),
        parse_numbers("--temperature", temperature),
    )
    columns = {name: values.tolist() for name, values in asdict(curves).items()}
    if json:
        print_json(columns)
        return
    table = titled_table("Acceptance by temperature")
    for heading in ("temperature", "rejection", "coupled", "independent", "greedy draft"):
        table.add_column(heading, justify="right")
    for at, *rates in zip(*columns.values(), strict=True):
        table.add_row(f"{at:g}", *(f"{rate:.3f}" for rate in rates))
    console().print(table)


# ---------------------------------------------------------------------------------- scaling


@app.command("scaling")
@command
def scaling(
    flops: Annotated[
        str | None, typer.Option(metavar="C", help="Operations of training, such as 5.88e23.")
    ] = None,
    params: Annotated[
        str | None, typer.Option(metavar="N", help="Parameters of the model, such as 70B.")
    ] = None,
    json: Json = False,
) -> None:
    """Show the compute-optimal size of model and data.

    For --flops or for --params, by C = 6·N·D and D = 20·N.
    """
    from outrider import theory as formulas  # noqa: PLC0415

    if flops is not None and params is None:
        best = formulas.optimal_for_flops(parse_count("--flops", flops))
    elif params is not None and flops is None:
        best = formulas.optimal_for_params(parse_count("--params", params))
    else:
        raise UsageError("Give either --flops or --params.")
    quoted = formulas.QUOTED_FACTOR * best.flops**0.5
    if json:
        print_json(
            {
                "flops": best.flops,
                "params": best.params,
                "tokens": best.tokens,
                "quoted_params": quoted,
            }
        )
        return
    table = facts("Compute-optimal training: C = 6·N·D, D = 20·N")
    table.add_row("compute C", f"{best.flops:.3g} operations")
    table.add_row("parameters N", show_count(best.params))
    table.add_row("tokens D", show_count(best.tokens))
    table.add_row(
        "often quoted",
        f"N = 0.05·√C, {show_count(quoted)} here. It disagrees: C = 6·N·D and D = 20·N give "
        f"N = 0.0913·√C, and 0.05 would mean {best.flops / (6 * quoted**2):.0f} tokens a "
        "parameter.",
    )
    console().print(table)
