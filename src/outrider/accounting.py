"""What a step was, what it took, and which completion bears how much of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import fields

from outrider.control.base import PassReport
from outrider.engines.base import Cost
from outrider.layout import Planned, sequence_rows
from outrider.types import Step, Verdict

STEP_FIELDS = tuple(f.name for f in fields(Step))


def count(step: Step, plan: Sequence[Planned], verified: Sequence[tuple[Planned, Verdict]]) -> None:
    """Set the step's counters, and count the rows of each completion."""
    step.requests = len(plan)
    step.prefill_rows = sum(p.count for p in plan if p.prefill)
    step.decode_rows = sum(not p.prefill for p in plan)
    step.draft_rows = sum(len(p.tree) for p in plan)
    step.accepted = sum(len(verdict.accepted) for _, verdict in verified)
    for planned in plan:
        planned.run.usage.rows += planned.count + len(planned.tree)


def report(step: Step, plan: Sequence[Planned], before: Step | None) -> PassReport:
    """What controllers are told of a step, and of the end of the one before.

    Opening a sequence takes longer than all else that a step does beside its pass, and is no part
    of speculation: the end of a step that read prompts says nothing of the next.
    """
    rows = sequence_rows(plan, drafts=True)
    rest_ms = None if before is None or before.prefill_rows else before.rest_ms
    return PassReport(rows, step.draft_ms, step.pass_ms, step.sampling_ms, rest_ms)


def ms_since(begun: float) -> float:
    """Milliseconds since a moment of `time.perf_counter`."""
    return (time.perf_counter() - begun) * 1000


def end(step: Step, begun: float) -> None:
    """Set what the step took beside drafting, pass and sampling.

    Args:
        step: with these times.
        begun: when it began; see `ms_since`.
    """
    step.rest_ms = max(ms_since(begun) - step.draft_ms - step.pass_ms - step.sampling_ms, 0.0)


def plain_ms(step: Step, plan: Sequence[Planned], cost: Cost) -> float:
    """What the pass would have taken without drafts.

    That is what it took, in the proportion that the cost curve puts between the two: whatever else
    keeps the machine busy makes both longer.
    """
    if not step.draft_rows:
        return step.pass_ms
    without, with_drafts = (cost.ms(sequence_rows(plan, drafts=d)) for d in (False, True))
    return step.pass_ms * without / with_drafts


def count_tokens(planned: Planned, verdict: Verdict, kept: int) -> None:
    """Count one completion's part of a step.

    Args:
        planned: the rows.
        verdict: accepted tokens behind the answer's end do not count.
        kept: tokens that became part of the answer.
    """
    run, usage, now = planned.run, planned.run.usage, time.perf_counter()
    usage.completion_tokens += kept
    if not run.first_token:
        run.first_token = now
        usage.first_token_ms = (now - run.submitted) * 1000
    usage.decode_ms = (now - run.first_token) * 1000
    if planned.prefill:
        return
    usage.steps += 1
    if not len(planned.tree):
        empty = planned.draft is not None and planned.draft.empty
        usage.empty_steps += empty
        usage.plain_steps += not empty
        return
    usage.draft_steps += 1
    usage.draft_tokens += len(planned.tree)
    accepted = min(len(verdict.accepted), kept)
    usage.accepted_tokens += accepted
    positions = usage.accepted_per_position
    positions.extend([0] * (accepted - len(positions)))
    for i in range(accepted):
        positions[i] += 1


def charge(step: Step, plain_ms: float, decoded: Sequence[Planned]) -> None:
    """Charge the step to the completions that decoded in it, in equal parts.

    What it saved is the time of plain decoding of the tokens gained, less the time taken. To a
    completion that was not speculated it is charged as plain decoding, which saves it nothing;
    the completions that were speculated bear the rest of it, in equal parts again.

    Args:
        step: with its times.
        plain_ms: what its pass would have taken without drafts.
        decoded: all that decoded in it.
    """
    if not decoded:
        return
    everyone = len(decoded)
    speculated = [planned for planned in decoded if planned.draft is not None]
    took = step.draft_ms + step.pass_ms - plain_ms * (everyone - len(speculated)) / everyone
    for planned in decoded:
        usage = planned.run.usage
        usage.draft_ms += step.draft_ms / everyone
        usage.pass_ms += step.pass_ms / everyone
        usage.sampling_ms += step.sampling_ms / everyone
        usage.rest_ms += step.rest_ms / everyone
    for planned in speculated:
        saved_ms = planned.gained * plain_ms / everyone - took / len(speculated)
        planned.run.usage.saved_ms += saved_ms


def add(totals: Step, step: Step) -> None:
    """Add a step to the sum of steps."""
    for name in STEP_FIELDS:
        setattr(totals, name, getattr(totals, name) + getattr(step, name))
