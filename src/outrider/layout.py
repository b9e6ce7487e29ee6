"""The rows of a pass: whose they are, and what is to be decided in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

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
        draft: what they are; None where the run is not speculated in this step.
        root: the row whose logits choose the next token; None while the prompt is not done.
        prefill: whether the committed rows are the prompt's.
        gained: tokens that came of it, the end of text included.
    """

    run: Run
    first: int
    count: int
    draft: Draft | None
    root: int | None
    prefill: bool
    gained: int = 0

    @property
    def tree(self) -> Tree:
        """The drafted rows."""
        return EMPTY if self.draft is None else self.draft.tree


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
        draft = drafts.get(run.entry.id)
        pending = run.entry.tokens[-1:]
        root = rows.chain(run.sequence.id, pending, commit=True, want_logits=True)
        if draft is not None:
            rows.tree(run.sequence.id, draft.tree, root)
        plan.append(Planned(run, root, 1, draft, root, prefill=False))
    for run, tokens in chunks:
        run.computed += len(tokens)
        first, every = len(rows), run.job.prompt_logprobs is not None
        last = rows.chain(run.sequence.id, tokens, commit=True, want_logits=every)
        root_row = None if run.prefilling else last
        if root_row is not None:
            rows.want_logits[root_row] = True
        plan.append(Planned(run, first, len(tokens), None, root_row, prefill=True))
    return rows.rows(), plan


def sequence_rows(plan: Sequence[Planned], *, drafts: bool) -> tuple[tuple[int, int], ...]:
    """(context, rows) of each sequence in the pass; before histories grow by what was said."""
    return tuple(
        (
            p.run.computed - p.count if p.prefill else len(p.run.entry.tokens),
            p.count + (len(p.tree) if drafts else 0),
        )
        for p in plan
        if p.count
    )
