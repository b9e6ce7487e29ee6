"""The loop: admit, draft, forward, verify, keep; for one completion and for many.

Drafter, controller and verifier know nothing of one another. The loop lays their rows out, asks the
engine for one pass, and hands the outcome round.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from itertools import groupby
from typing import Any

import numpy as np

from outrider import registry
from outrider.control.base import Controller, PassReport, Room
from outrider.drafters.base import Drafter, Observation
from outrider.engines.base import HISTORY, Pass, Rows, TargetModel
from outrider.errors import OutriderError, UsageError
from outrider.plan import Plan
from outrider.scheduler import Job, Run, Scheduler
from outrider.tree import EMPTY, ROOT, Tree
from outrider.types import Event, FinishReason, Speculation, Step, TokenLogprob, Verdict
from outrider.verify import Mask, Verifier

PREFILL_CHUNK = 256
"""Prompt rows in one pass beside decoding ones: a longer chunk delays the others' next token."""

STEPS_KEPT = 1024

Load = Callable[[registry.Group, str], Any]
STEP_FIELDS = tuple(f.name for f in fields(Step))


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
        draft: what they are.
        root: the row whose logits choose the next token; None while the prompt is not done.
        prefill: whether the committed rows are the prompt's.
        gained: tokens that came of it.
    """

    run: Run
    first: int
    count: int
    draft: Draft
    root: int | None
    prefill: bool
    gained: int = 0

    @property
    def tree(self) -> Tree:
        """The drafted rows."""
        return self.draft.tree


@dataclass(slots=True)
class _Columns:
    """Rows being collected, column by column."""

    sequence: list[int] = field(default_factory=list)
    token: list[int] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    commit: list[bool] = field(default_factory=list)
    want_logits: list[bool] = field(default_factory=list)

    def arrays(self) -> Rows:
        return Rows(
            np.array(self.sequence, np.int32),
            np.array(self.token, np.int32),
            np.array(self.parent, np.int32),
            np.array(self.commit, np.bool_),
            np.array(self.want_logits, np.bool_),
        )


class Loop:
    """Drives one engine. Only one thread may call it; see `outrider.runner` for many.

    Args:
        engine: the target model.
        max_streams: completions that run at once at most.
        plan: the speculation that jobs get which ask for none in particular.
        prefill_chunk: prompt rows in one pass at most.
        load: finds a plug-in by its group and name.

    Raises:
        UsageError: max_streams does not fit the engine's passes.
    """

    def __init__(
        self,
        engine: TargetModel,
        *,
        max_streams: int = 16,
        plan: Plan | None = None,
        prefill_chunk: int = PREFILL_CHUNK,
        load: Load = registry.load,
    ) -> None:
        if not 1 <= max_streams <= engine.capabilities.max_rows:
            raise UsageError(
                f"max_streams has to lie between 1 and the {engine.capabilities.max_rows} rows of "
                f"a pass, not {max_streams}."
            )
        self.engine = engine
        self.scheduler = Scheduler(engine, max_streams)
        self.plan = plan or Plan()
        self.steps: deque[Step] = deque(maxlen=STEPS_KEPT)
        self.totals = Step()
        self._prefill_chunk = prefill_chunk
        self._load = load
        self._drafters: dict[str, Drafter] = {}
        self._controllers: dict[tuple[str, int | None, str], Controller] = {}
        self._verifiers: dict[str, Verifier] = {}

    # ---- from outside ---------------------------------------------------------------------------

    def prepare(self, wish: Speculation | None = None) -> None:
        """Make parts now, so that what is wrong with them shows before any request.

        Args:
            wish: what requests will ask for; None makes the plan's own parts.

        Raises:
            OutriderError: a part cannot be made, or they do not go together.
        """
        self._make_parts(wish or Speculation())

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the plan's drafter drafts with, for records; empty before it is made."""
        drafter = self._drafters.get(self.plan.drafter)
        return {} if drafter is None else drafter.facts

    def add(self, job: Job) -> None:
        """Queue a job.

        Raises:
            UsageError: a part it names is not registered, or its parts do not go together.
        """
        self._parts(job)
        self.scheduler.add(job)

    def cancel(self, job: Job) -> None:
        """End a job's completions where they are."""
        if self.scheduler.drop(job):
            self._refuse(job, "cancelled", None)
        for run in [run for run in self.scheduler.running if run.job is job]:
            self._finish(run, "cancelled")

    def reset_drafters(self) -> None:
        """Let every drafter forget what it has learnt, so that a repetition starts like the first.

        What they know of running completions may stay.
        """
        for drafter in self._drafters.values():
            drafter.reset()

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self.scheduler.running and not self.scheduler.waiting

    # ---- the loop -------------------------------------------------------------------------------

    def step(self) -> Step:
        """One trip round."""
        step = Step()
        start = time.perf_counter()

        # 1 admit: requests that fit.
        started, refused = self.scheduler.admit()
        for run in started:
            self._begin(run)
        for job, error in refused:
            self._refuse(job, "error", str(error))
        if not self.scheduler.running:
            return step

        # 2 draft: each drafter proposes trees, its controller decides how many rows they are worth.
        decoding = [run for run in self.scheduler.running if not run.prefilling]
        chunks = self._chunks(len(decoding))
        drafts = self._draft(decoding, chunks)
        drafted = time.perf_counter()

        # 3 forward: one pass over every row of every sequence.
        rows, plan = self._lay_out(decoding, drafts, chunks)
        outcome = self.engine.forward(rows)
        passed = time.perf_counter()

        # 4 verify: walk each tree with the target's own choice at each node.
        plan = self._fork(plan)
        verified = [(p, verdict) for p in plan if (verdict := self._verify(outcome, p))]
        decided = time.perf_counter()

        # 5 keep: accepted rows stay in the cache, the rest is forgotten; all parts learn; text.
        step.requests = len(plan)
        step.prefill_rows = sum(p.count for p in plan if p.prefill)
        step.decode_rows = len(decoding)
        step.draft_rows = sum(len(p.tree) for p in plan)
        step.accepted = sum(len(verdict.accepted) for _, verdict in verified)
        step.draft_ms = (drafted - start) * 1000
        step.pass_ms = (passed - drafted) * 1000
        step.sampling_ms = (decided - passed) * 1000
        plain_ms = self._plain_ms(plan, step)
        self._learn(verified, outcome, self._report(plan, step))
        for planned, verdict in verified:
            self._keep(outcome, planned, verdict)
        step.rest_ms = (time.perf_counter() - decided) * 1000
        self._record(step)
        self._share(step, plain_ms, [p for p in plan if not p.prefill])
        return step

    # ---- 1 admit --------------------------------------------------------------------------------

    def _parts(self, job: Job) -> tuple[Drafter, Controller, Verifier]:
        """The parts a job asks for, made once."""
        return self._make_parts(job.speculation)

    def _make_parts(self, wish: Speculation) -> tuple[Drafter, Controller, Verifier]:
        name = wish.drafter or self.plan.drafter
        if name not in self._drafters:
            self._drafters[name] = self._load("drafters", name)(self.engine)
        count = wish.num_draft_tokens
        key = (
            wish.controller or self.plan.controller,
            self.plan.num_draft_tokens if count is None else count,
            name,
        )
        if key not in self._controllers:
            self._controllers[key] = self._load("controllers", key[0])(self.engine.cost, key[1])
        # Plain decoding makes the target's own choices, whatever would have judged its drafts.
        verification = (wish.verification or self.plan.verification) if wish.enabled else "coupled"
        if verification not in self._verifiers:
            self._verifiers[verification] = self._load("verifiers", verification)()
        parts = self._drafters[name], self._controllers[key], self._verifiers[verification]
        drafter, controller, verifier = parts
        if drafter.draws and controller.looks_at_draws and verifier.weighs_draws:
            raise UsageError(
                f"The controller {key[0]!r} drops drafted tokens by their probabilities, so "
                f"{verification!r} verification cannot judge what the drafter {name!r} draws; "
                "use the controller 'fixed' or coupled verification."
            )
        return parts

    def _begin(self, run: Run) -> None:
        if not run.drafts:
            return
        drafter, _, _ = self._parts(run.job)
        try:
            drafter.begin(run.entry)
        except Exception as error:
            self._give_up(run, drafter, error)

    def _refuse(self, job: Job, reason: FinishReason, error: str | None) -> None:
        for index in range(job.n):
            job.emit(Event(index, finish_reason=reason, error=error))

    # ---- 2 draft --------------------------------------------------------------------------------

    def _chunks(self, decoding: int) -> list[Chunk]:
        """What this pass computes of the prompts that are not done, first come first."""
        room = min(self._prefill_chunk, self.engine.capabilities.max_rows - decoding)
        chunks = []
        for run in self.scheduler.running:
            if not run.prefilling or room <= 0:
                continue
            end = min(run.computed + room, run.entry.prompt_length)
            chunks.append((run, run.entry.tokens[run.computed : end]))
            room -= end - run.computed
        return chunks

    def _draft(self, decoding: Sequence[Run], chunks: Sequence[Chunk]) -> dict[int, Draft]:
        """A draft for each entry that speculates, by the entry's id."""
        rows = [(len(run.entry.tokens), 1) for run in decoding]
        rows += [(run.computed, len(tokens)) for run, tokens in chunks]
        budget = self.engine.capabilities.max_rows - sum(count for _, count in rows)
        drafts: dict[int, Draft] = {}
        drafting = [run for run in decoding if run.drafts and run.left > 1]
        # Whole batches: runs that share drafter and controller are drafted together.
        keyed = sorted(drafting, key=self._group)
        for _, group in groupby(keyed, key=self._group):
            runs = list(group)
            drafter, controller, _ = self._parts(runs[0].job)
            batch = [run.entry for run in runs]
            for run in runs:
                # The pass also says the token after the draft, so the draft may be one shorter
                # than what is left to say.
                run.entry.max_nodes = max(budget // len(runs), 0)
                run.entry.max_depth = run.left - 1
            room = Room(budget, tuple(rows), len(decoding))
            try:
                controller.limit(batch, room)
                proposed = drafter.draft(batch)
                chosen = controller.choose(batch, proposed, room)
                self._check(chosen, budget, draws=drafter.draws)
                for run, offer, tree in zip(runs, proposed, chosen, strict=True):
                    empty = run.entry.max_nodes > 0 and not len(offer)
                    draft = drafts[run.entry.id] = Draft(self._prune(run, tree), empty)
                    rows.append((len(run.entry.tokens), len(draft.tree)))
                    budget -= len(draft.tree)
            except Exception as error:
                for run in runs:
                    self._give_up(run, drafter, error)
        return drafts

    def _check(self, trees: Sequence[Tree], budget: int, *, draws: bool) -> None:
        """Raise ValueError for drafts that the pass could not take, or verification not judge."""
        for tree in trees:
            tree.check(self.engine.vocab_size)
            if tree.distributions and not draws:
                raise ValueError("distributions of a drafter that does not say it draws")
        if sum(map(len, trees)) > budget:
            raise ValueError(f"more than the {budget} rows there are")

    def _group(self, run: Run) -> tuple[int, int]:
        drafter, controller, _ = self._parts(run.job)
        return id(drafter), id(controller)

    def _give_up(self, run: Run, drafter: Drafter, error: Exception) -> None:
        """A part that fails costs its request the speed-up, never the answer."""
        run.drafts = False
        run.usage.note = f"decoded plainly: {type(drafter).__name__} failed ({error})"
        # What it held for the request is of no more use; a second failure would say nothing new.
        with suppress(Exception):
            drafter.end(run.entry)

    def _prune(self, run: Run, tree: Tree) -> Tree:
        """Without nodes beyond the answer's end and nodes that the constraint forbids."""
        if not len(tree):
            return tree
        depth, states = [0] * len(tree), {ROOT: run.state}
        kept = []
        for node, (token, parent) in enumerate(zip(tree.tokens, tree.parents, strict=True)):
            depth[node] = 1 if parent == ROOT else depth[parent] + 1
            if parent not in states or depth[node] >= run.left:
                continue
            if run.constraint is not None:
                try:
                    after = run.constraint.advance(states[parent], token)
                except OutriderError:
                    # Verification meets the same fault, and ends the request with it.
                    return EMPTY
                if after is not None:
                    states[node] = after
                elif parent not in tree.distributions:
                    continue
                # What was drawn stays, to be refused: dropped, it would leave its share of the
                # draft's distribution to the target's whole one.
            else:
                states[node] = None
            kept.append(node)
        return tree if len(kept) == len(tree) else tree.pick(kept)

    # ---- 3 forward ------------------------------------------------------------------------------

    def _lay_out(
        self, decoding: Sequence[Run], drafts: dict[int, Draft], chunks: Sequence[Chunk]
    ) -> tuple[Rows, list[Planned]]:
        """Rows of the pass: decoding runs with their drafts first, then prompts in chunks."""
        columns = _Columns()
        plan = []
        for run in decoding:
            draft = drafts.get(run.entry.id, Draft())
            root = len(columns.token)
            self._append(columns, run, [run.entry.tokens[-1]], [True])
            for token, parent in zip(draft.tree.tokens, draft.tree.parents, strict=True):
                columns.sequence.append(run.sequence.id)
                columns.token.append(token)
                columns.parent.append(root + 1 + parent)
                columns.commit.append(False)
                columns.want_logits.append(True)
            plan.append(Planned(run, root, 1, draft, root, prefill=False))
        for run, tokens in chunks:
            run.computed += len(tokens)
            first = len(columns.token)
            every = run.job.prompt_logprobs is not None
            logits = [every] * (len(tokens) - 1) + [every or not run.prefilling]
            self._append(columns, run, tokens, logits)
            root_row = None if run.prefilling else first + len(tokens) - 1
            plan.append(Planned(run, first, len(tokens), Draft(), root_row, prefill=True))
        return columns.arrays(), plan

    @staticmethod
    def _append(
        columns: _Columns, run: Run, tokens: Sequence[int], want_logits: Iterable[bool]
    ) -> None:
        """A chain of committed rows that follows the run's history."""
        first = len(columns.token)
        columns.sequence.extend([run.sequence.id] * len(tokens))
        columns.token.extend(tokens)
        columns.parent.append(HISTORY)
        columns.parent.extend(range(first, first + len(tokens) - 1))
        columns.commit.extend([True] * len(tokens))
        columns.want_logits.extend(want_logits)

    # ---- 4 verify -------------------------------------------------------------------------------

    def _fork(self, plan: list[Planned]) -> list[Planned]:
        """With the other completions of every prompt that is done; they share its last row."""
        forked = []
        for planned in plan:
            forked.append(planned)
            if planned.root is None or not planned.run.promised:
                continue
            for run in self.scheduler.fork(planned.run):
                self._begin(run)
                forked.append(Planned(run, planned.first, 0, Draft(), planned.root, prefill=True))
        return forked

    def _verify(self, outcome: Pass, planned: Planned) -> Verdict | None:
        """The verdict on a run's tree; None where there is nothing to decide or nothing left."""
        run = planned.run
        if run.job.prompt_logprobs is not None and planned.count and planned.prefill:
            self._read_prompt(outcome, planned)
        if planned.root is None:
            return None
        _, _, verifier = self._parts(run.job)
        try:
            verdict = verifier.verify(
                outcome,
                planned.root,
                len(run.entry.tokens),
                planned.tree,
                run.entry.sampler,
                mask=self._mask(planned),
            )
            self._advance(run, (*(planned.tree.tokens[n] for n in verdict.accepted), verdict.token))
        except OutriderError as error:
            # Its own fault alone: the other completions go on.
            self._finish(run, "error", error=str(error))
            return None
        return verdict

    def _advance(self, run: Run, said: Iterable[int]) -> None:
        """Where the constraint stands after these tokens; the end of text needs no state."""
        if run.constraint is None:
            return
        for token in said:
            if token in run.job.stop_tokens:
                return
            run.state = run.constraint.advance(run.state, token)
            if run.state is None:
                raise UsageError(
                    f"The constraint contradicts itself: its mask allows token {token} and "
                    "advance refuses it."
                )

    def _mask(self, planned: Planned) -> Mask | None:
        run, constraint = planned.run, planned.run.constraint
        if constraint is None:
            return None
        states: dict[int, object | None] = {ROOT: run.state}
        for node, (token, parent) in enumerate(
            zip(planned.tree.tokens, planned.tree.parents, strict=True)
        ):
            states[node] = constraint.advance(states[parent], token)
        return lambda node: constraint.mask(states[node])

    def _read_prompt(self, outcome: Pass, planned: Planned) -> None:
        """Log-probabilities of the prompt's tokens; each row speaks of the token after it."""
        run = planned.run
        start = run.computed - planned.count + 1
        ids = run.job.tokens[start : start + planned.count]
        rows = range(planned.first, planned.first + len(ids))
        run.prompt_logprobs.extend(self._logprobs(outcome, rows, ids, run.job.prompt_logprobs or 0))

    def _logprobs(
        self, outcome: Pass, rows: Sequence[int], ids: Sequence[int], count: int
    ) -> tuple[TokenLogprob, ...]:
        if not ids:
            return ()
        chosen = outcome.logprobs(rows, ids)
        if not count:
            return tuple(TokenLogprob(t, float(p)) for t, p in zip(ids, chosen, strict=True))
        tops, values = outcome.top(rows, min(count, self.engine.vocab_size))
        return tuple(
            TokenLogprob(
                token,
                float(chosen[i]),
                tuple(zip(tops[i].tolist(), values[i].tolist(), strict=True)),
            )
            for i, token in enumerate(ids)
        )

    # ---- 5 keep ---------------------------------------------------------------------------------

    @staticmethod
    def _rows(plan: Sequence[Planned], *, drafts: bool) -> tuple[tuple[int, int], ...]:
        """(context, rows) of each sequence in the pass; before histories grow by what was said."""
        return tuple(
            (
                p.run.computed - p.count if p.prefill else len(p.run.entry.tokens),
                p.count + (len(p.tree) if drafts else 0),
            )
            for p in plan
            if p.count
        )

    def _report(self, plan: Sequence[Planned], step: Step) -> PassReport:
        rows = self._rows(plan, drafts=True)
        return PassReport(rows, step.draft_ms, step.pass_ms, step.sampling_ms)

    def _plain_ms(self, plan: Sequence[Planned], step: Step) -> float:
        """What the pass would have taken without drafts, as the cost curve puts it."""
        if not step.draft_rows:
            return step.pass_ms
        return self.engine.cost.ms(self._rows(plan, drafts=False))

    @staticmethod
    def _share(step: Step, plain_ms: float, decoded: Sequence[Planned]) -> None:
        """Charge the step to the completions that decoded in it, in equal parts."""
        for planned in decoded:
            usage = planned.run.usage
            usage.draft_ms += step.draft_ms / len(decoded)
            usage.pass_ms += step.pass_ms / len(decoded)
            usage.sampling_ms += step.sampling_ms / len(decoded)
            usage.rest_ms += step.rest_ms / len(decoded)
            took = step.pass_ms + step.draft_ms
            usage.saved_ms += (planned.gained * plain_ms - took) / len(decoded)

    def _learn(
        self, verified: Sequence[tuple[Planned, Verdict]], outcome: Pass, report: PassReport
    ) -> None:
        """Tell drafters and controllers what came of their proposals, a whole batch at a time."""
        for planned, verdict in verified:
            said = [planned.tree.tokens[node] for node in verdict.accepted] + [verdict.token]
            planned.run.entry.tokens.extend(said)
            planned.run.entry.sampler.advance(said)
        drafting = [(p, v) for p, v in verified if p.run.drafts]
        for _, group in groupby(
            sorted(drafting, key=lambda pair: self._group(pair[0].run)),
            key=lambda pair: self._group(pair[0].run),
        ):
            pairs = list(group)
            drafter, controller, _ = self._parts(pairs[0][0].run.job)
            seen = [
                Observation(p.run.entry, p.tree, v, p.root if p.root is not None else 0)
                for p, v in pairs
            ]
            try:
                drafter.observe(seen, outcome)
                controller.observe(seen, report)
            except Exception as error:
                for planned, _ in pairs:
                    self._give_up(planned.run, drafter, error)

    def _keep(self, outcome: Pass, planned: Planned, verdict: Verdict) -> None:
        """What was said becomes history and text, up to where the answer ends."""
        run, job = planned.run, planned.run.job
        accepted = verdict.accepted
        said = [planned.tree.tokens[node] for node in accepted] + [verdict.token]
        earlier = len(run.entry.tokens) - run.entry.prompt_length - len(said)
        kept: list[int] = []
        reason: FinishReason | None = None
        for token in said:
            if token in job.stop_tokens:
                reason = "stop"
                break
            kept.append(token)
            if earlier + len(kept) == job.max_tokens:
                reason = "length"
                break
        piece = run.sink.push(kept)
        if piece.stopped:
            kept, reason = kept[: piece.kept_tokens], "stop"
        if reason is None and accepted and planned.root is not None:
            self.engine.keep(run.sequence, [planned.root + 1 + node for node in accepted])
        self._count(planned, len(accepted), len(kept))
        logprobs = None
        if job.logprobs is not None and planned.root is not None:
            rows = [planned.root, *(planned.root + 1 + node for node in accepted)][: len(kept)]
            logprobs = self._logprobs(outcome, rows, kept, job.logprobs)
        event = Event(
            run.index,
            piece.text,
            tuple(kept),
            self._origins(planned, accepted)[: len(kept)],
            len(planned.tree),
            logprobs,
            self._prompt_report(run),
        )
        if reason is None:
            job.emit(event)
        else:
            self._finish(run, reason, event=event)

    def _origins(self, planned: Planned, accepted: Sequence[int]) -> tuple[str | None, ...]:
        """Who proposed each of the step's tokens."""
        if not accepted:
            return (None,)
        names = planned.tree.origins
        drafter = (planned.run.job.speculation.drafter or self.plan.drafter).partition(":")[0]
        return (*(names[node] if names else drafter for node in accepted), None)

    def _prompt_report(self, run: Run) -> tuple[TokenLogprob, ...] | None:
        """The prompt's log-probabilities, once, with the first event of completion 0."""
        if run.job.prompt_logprobs is None or run.index or run.prompt_reported:
            return None
        run.prompt_reported = True
        return tuple(run.prompt_logprobs)

    def _count(self, planned: Planned, accepted: int, kept: int) -> None:
        """Counters of one step; accepted tokens behind the answer's end do not count."""
        run, usage, now = planned.run, planned.run.usage, time.perf_counter()
        usage.rows += planned.count + len(planned.tree)
        usage.completion_tokens += kept
        planned.gained = kept
        if not run.first_token:
            run.first_token = now
            usage.first_token_ms = (now - run.submitted) * 1000
        usage.decode_ms = (now - run.first_token) * 1000
        if planned.prefill:
            return
        usage.steps += 1
        if not len(planned.tree):
            usage.empty_steps += planned.draft.empty
            usage.plain_steps += not planned.draft.empty
            return
        usage.draft_steps += 1
        usage.draft_tokens += len(planned.tree)
        accepted = min(accepted, kept)
        usage.accepted_tokens += accepted
        positions = usage.accepted_per_position
        positions.extend([0] * (accepted - len(positions)))
        for i in range(accepted):
            positions[i] += 1

    def _finish(
        self,
        run: Run,
        reason: FinishReason,
        *,
        event: Event | None = None,
        error: str | None = None,
    ) -> None:
        """End a completion; `event` is its last piece of text."""
        event = event or Event(run.index)
        rest = "" if run.sink.stopped else run.sink.finish()
        if run.sink.stopped:
            reason = "stop"
        self.scheduler.release(run)
        run.usage.total_ms = (time.perf_counter() - run.submitted) * 1000
        if run.drafts:
            drafter, _, _ = self._parts(run.job)
            try:
                drafter.end(run.entry)
            except Exception as failure:
                self._give_up(run, drafter, failure)
        run.job.emit(
            replace(
                event,
                text=event.text + rest,
                finish_reason=reason,
                error=error,
                usage=run.usage,
            )
        )

    def _record(self, step: Step) -> None:
        self.steps.append(step)
        for name in STEP_FIELDS:
            setattr(self.totals, name, getattr(self.totals, name) + getattr(step, name))
