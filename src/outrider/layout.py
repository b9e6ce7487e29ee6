"""The rows of a pass: whose they are, and what is to be decided in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from outrider.engines.base import Rows, RowsBuilder
from outrider.scheduler import Run
from outrider.tree import EMPTY, Tree


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be verified of one entry; `empty` where nodes were asked for and none came."""

    tree: Tree = EMPTY
    empty: bool = False


Chunk = tuple[Run, list[int]]
"""A run whose prompt is not done, and the tokens of it that this pass computes."""


@dataclass(slots=True)
class Planned:
    """A run's rows in the pass.

    Attributes:
        first: its first row.
        count: its committed rows; drafted ones follow.
        context: tokens of its history before the pass.
        draft: what they are; None where the run is not speculated in this step.
        root: the row whose logits choose the next token; None while the prompt is not done.
        prefill: whether the committed rows are the prompt's.
        gained: tokens that came of it, the end of text included.
        tree: the drafted rows.
        drafted: how many they are.
    """

    run: Run
    first: int
    count: int
    draft: Draft | None
    root: int | None
    prefill: bool
    gained: int = 0
    context: int = 0
    tree: Tree = field(init=False)
    drafted: int = field(init=False)

    def __post_init__(self) -> None:
        self.tree = EMPTY if self.draft is None else self.draft.tree
        self.drafted = len(self.tree)


def next_chunks(running: Iterable[Run], room: int) -> list[Chunk]:
    """What at most `room` rows compute of the prompts that are not done, first come first."""
    chunks = []
    for run in running:
        if not run.prefilling or room <= 0:
            continue
        end = min(run.computed + room, run.entry.prompt_length)
        chunks.append((run, run.entry.tokens[run.computed : end]))
        room -= end - run.computed
    return chunks


def lay_out(
    decoding: Sequence[Run], drafts: Mapping[int, Draft], chunks: Sequence[Chunk]
) -> tuple[Rows, list[Planned]]:
    """Rows of the pass: decoding runs with their drafts first, then prompts in chunks.

    Args:
        decoding: each takes part with its pending token.
        drafts: by the id of a run's entry; a run without one is not speculated.
        chunks: of prompts; they count as computed from here on.
    """
    rows, plan = RowsBuilder(), []
    for run in decoding:
        tokens, sequence = run.entry.tokens, run.sequence.id
        root = rows.row(sequence, tokens[-1], commit=True, want_logits=True)
        draft = drafts.get(run.entry.id)
        planned = Planned(run, root, 1, draft, root, prefill=False, context=len(tokens))
        if planned.drafted:
            rows.tree(sequence, planned.tree, root)
        plan.append(planned)
    for run, tokens in chunks:
        context = run.computed
        run.computed += len(tokens)
        first, every = len(rows), run.job.prompt_logprobs is not None
        last = rows.chain(run.sequence.id, tokens, commit=True, want_logits=every)
        root_row = None if run.prefilling else last
        if root_row is not None:
            rows.want_logits[root_row] = True
        planned = Planned(run, first, len(tokens), None, root_row, prefill=True, context=context)
        plan.append(planned)
    return rows.rows(), plan


def sequence_rows(plan: Sequence[Planned], *, drafts: bool) -> tuple[tuple[int, int], ...]:
    """(context, rows) of each sequence in the pass."""
    if drafts:
        return tuple([(p.context, p.count + p.drafted) for p in plan if p.count])
    return tuple([(p.context, p.count) for p in plan if p.count])
