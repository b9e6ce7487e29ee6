"""The loop: admit, draft, forward, verify, keep; for one completion and for many.

Drafter, controller and verifier know nothing of one another. The loop lays their rows out, asks the
engine for one pass, and hands the outcome round.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from outrider import accounting, logprobs, registry
from outrider.constraints import prune, state_after, states_along
from outrider.control.base import Controller, Room
from outrider.drafters.base import Drafter, Observation
from outrider.engines.base import Pass, TargetModel
from outrider.errors import OutriderError, SamplingError, UsageError
from outrider.layout import Chunk, Draft, Planned, lay_out, next_chunks
from outrider.parts import Load, Parts
from outrider.plan import Plan
from outrider.scheduler import Job, Run, Scheduler
from outrider.tree import Tree
from outrider.types import Event, FinishReason, Speculation, Step, TokenLogprob, Verdict
from outrider.verify import Mask, Verifier

PREFILL_CHUNK = 256
"""Prompt rows in one pass beside decoding ones: a longer chunk delays the others' next token."""

STEPS_KEPT = 1024

Said = tuple[Run, Event]
"""What a completion says in a step; the event says too whether it ends."""


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
        self.parts = Parts(engine, plan or Plan(), load)
        self.steps: deque[Step] = deque(maxlen=STEPS_KEPT)
        self.totals = Step()
        self._prefill_chunk = prefill_chunk

    # ---- from outside ---------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the plan's own parts now, so that what is wrong with them shows before any request.

        Raises:
            OutriderError: a part cannot be made, or they do not go together.
        """
        self.parts.of(Speculation())

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the plan's drafter drafts with, for records; empty before it is made."""
        return self.parts.facts

    def add(self, job: Job) -> None:
        """Queue a job.

        Raises:
            UsageError: a part it names is not registered, or its parts do not go together.
        """
        self.parts.of(job.speculation)
        self.scheduler.add(job)

    def cancel(self, job: Job) -> None:
        """End a job's completions where they are."""
        if self.scheduler.drop(job):
            self._refuse(job, "cancelled", None)
        for run in [run for run in self.scheduler.running if run.job is job]:
            self._finish(run, Event(run.index, finish_reason="cancelled"))

    def forget(self) -> None:
        """Let drafters and controllers forget what they have learnt: a repetition starts anew.

        What drafters know of running completions may stay.
        """
        self.parts.reset()

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self.scheduler.running and not self.scheduler.waiting

    # ---- the loop -------------------------------------------------------------------------------

    def step(self) -> Step:
        """One trip round."""
        step, begun = Step(), time.perf_counter()

        # 1 admit: requests that fit.
        self._admit()
        if not self.scheduler.running:
            return step
        admitted = time.perf_counter()

        # 2 draft: each drafter proposes trees, its controller decides how many rows they are worth.
        decoding = [run for run in self.scheduler.running if not run.prefilling]
        room = self.engine.capabilities.max_rows - len(decoding)
        chunks = next_chunks(self.scheduler.running, min(self._prefill_chunk, room))
        drafts = self._draft(decoding, chunks)
        drafted = time.perf_counter()

        # 3 forward: one pass over every row of every sequence.
        rows, plan = lay_out(decoding, drafts, chunks)
        outcome = self.engine.forward(rows)
        passed = time.perf_counter()

        # 4 verify: walk each tree with the target's own choice at each node.
        plan = self._fork(plan)
        verified, said = self._verify(outcome, plan)
        decided = time.perf_counter()

        # 5 keep: accepted rows stay in the cache, the rest is forgotten; all parts learn; text.
        step.draft_ms = (drafted - admitted) * 1000
        step.pass_ms = (passed - drafted) * 1000
        step.sampling_ms = (decided - passed) * 1000
        accounting.count(step, plan, verified)
        plain_ms = accounting.plain_ms(step, plan, self.engine.cost)
        self._learn(step, plan, verified, outcome)
        said += [
            (planned.run, self._keep(outcome, planned, v, step.pass_ms)) for planned, v in verified
        ]

        # A completion's last event hands its counters over, so the step is charged before; what is
        # left to do then counts in the step alone.
        accounting.end(step, begun)
        accounting.charge(step, plain_ms, [p for p in plan if not p.prefill])
        for run, event in said:
            self._say(run, event)
        accounting.end(step, begun)
        self.steps.append(step)
        accounting.add(self.totals, step)
        return step

    # ---- 1 admit --------------------------------------------------------------------------------

    def _admit(self) -> None:
        started, refused = self.scheduler.admit()
        for run in started:
            self._begin(run)
        for job, error in refused:
            self._refuse(job, "error", str(error))

    def _parts(self, run: Run) -> tuple[Drafter, Controller, Verifier]:
        return self.parts.of(run.job.speculation)

    def _begin(self, run: Run) -> None:
        if not run.drafts:
            return
        drafter, _, _ = self._parts(run)
        try:
            drafter.begin(run.entry)
        except Exception as error:
            self._give_up(run, drafter, error)

    def _refuse(self, job: Job, reason: FinishReason, error: str | None) -> None:
        for index in range(job.n):
            job.emit(Event(index, finish_reason=reason, error=error))

    # ---- 2 draft --------------------------------------------------------------------------------

    def _draft(self, decoding: Sequence[Run], chunks: Sequence[Chunk]) -> dict[int, Draft]:
        """A draft for each entry that speculates, by the entry's id."""
        rows = [(len(run.entry.tokens), 1) for run in decoding]
        rows += [(run.computed, len(tokens)) for run, tokens in chunks]
        budget = self.engine.capabilities.max_rows - sum(count for _, count in rows)
        drafts: dict[int, Draft] = {}
        drafting = [run for run in decoding if run.drafts and run.left > 1]
        for drafter, controller, runs in self._groups(drafting):
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

    def _groups(self, runs: Iterable[Run]) -> list[tuple[Drafter, Controller, list[Run]]]:
        """Whole batches: runs that share drafter and controller are served together."""
        groups: dict[tuple[int, int], tuple[Drafter, Controller, list[Run]]] = {}
        for run in runs:
            drafter, controller, _ = self._parts(run)
            key = id(drafter), id(controller)
            groups.setdefault(key, (drafter, controller, []))[2].append(run)
        return list(groups.values())

    def _give_up(self, run: Run, drafter: Drafter, error: Exception) -> None:
        """A part that fails costs its request the speed-up, never the answer."""
        run.drafts = False
        run.usage.note = f"decoded plainly: {type(drafter).__name__} failed ({error})"
        # What it held for the request is of no more use; a second failure would say nothing new.
        with suppress(Exception):
            drafter.end(run.entry)

    @staticmethod
    def _prune(run: Run, tree: Tree) -> Tree:
        """Without nodes beyond the answer's end and nodes that the constraint forbids."""
        if not len(tree):
            return tree
        return prune(tree, run.left - 1, run.constraint, run.state)

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
                forked.append(Planned(run, planned.first, 0, None, planned.root, prefill=True))
        return forked

    def _verify(
        self, outcome: Pass, plan: Sequence[Planned]
    ) -> tuple[list[tuple[Planned, Verdict]], list[Said]]:
        """The verdicts of all runs that have a token to choose, and the end of those that cannot.

        A fault is its request's own: the other completions go on.
        """
        verified: list[tuple[Planned, Verdict]] = []
        failed: list[Said] = []
        for planned in plan:
            run = planned.run
            try:
                verdict = self._verdict(outcome, planned)
            except OutriderError as error:
                failed.append((run, Event(run.index, finish_reason="error", error=str(error))))
            else:
                if verdict is not None:
                    verified.append((planned, verdict))
        return verified, failed

    def _verdict(self, outcome: Pass, planned: Planned) -> Verdict | None:
        """The verdict on a run's tree; None while its prompt is not done."""
        run, tree = planned.run, planned.tree
        if run.job.prompt_logprobs is not None and planned.count and planned.prefill:
            self._read_prompt(outcome, planned)
        if planned.root is None:
            return None
        try:
            verdict = self._judge(outcome, run, planned.root, tree)
        except SamplingError:
            # Plain decoding would say what leads to the fault before it ends there. So nothing of
            # the draft stands, and the fault is the answer's when it is met without one.
            if not len(tree):
                raise
            verdict = self._judge(outcome, run, planned.root, Tree())
        if run.constraint is not None:
            chosen = (*(tree.tokens[node] for node in verdict.accepted), verdict.token)
            run.state = state_after(chosen, run.job.stop_tokens, run.constraint, run.state)
        return verdict

    def _judge(self, outcome: Pass, run: Run, root: int, tree: Tree) -> Verdict:
        _, _, verifier = self._parts(run)
        position, sampler = len(run.entry.tokens), run.entry.sampler
        mask = self._mask(run, tree)
        return verifier.verify(outcome, root, position, tree, sampler, mask=mask)

    @staticmethod
    def _mask(run: Run, tree: Tree) -> Mask | None:
        constraint = run.constraint
        if constraint is None:
            return None
        states = states_along(tree, constraint, run.state)
        return lambda node: constraint.mask(states[node])

    def _read_prompt(self, outcome: Pass, planned: Planned) -> None:
        """Log-probabilities of the prompt's tokens; each row speaks of the token after it."""
        run = planned.run
        start = run.computed - planned.count + 1
        ids = run.job.tokens[start : start + planned.count]
        rows = range(planned.first, planned.first + len(ids))
        run.prompt_logprobs.extend(self._logprobs(outcome, rows, ids, run.job.prompt_logprobs or 0))

    def _logprobs(
        self, outcome: Pass, rows: Sequence[int], ids: Sequence[int], best: int
    ) -> tuple[TokenLogprob, ...]:
        return logprobs.of_tokens(outcome, rows, ids, min(best, self.engine.vocab_size))

    # ---- 5 keep ---------------------------------------------------------------------------------

    def _learn(
        self,
        step: Step,
        plan: Sequence[Planned],
        verified: Sequence[tuple[Planned, Verdict]],
        outcome: Pass,
    ) -> None:
        """Tell drafters and controllers what came of their proposals, a whole batch at a time."""
        for planned, verdict in verified:
            said = [planned.tree.tokens[node] for node in verdict.accepted] + [verdict.token]
            planned.run.entry.tokens.extend(said)
            planned.run.entry.sampler.advance(said)
        seen = {
            p.run.entry.id: Observation(
                p.run.entry, p.tree, verdict, p.root or 0, p.prefill or p.run.entry.max_nodes > 0
            )
            for p, verdict in verified
        }
        before = self.steps[-1] if self.steps else None
        drafting = [planned.run for planned, _ in verified if planned.run.drafts]
        for drafter, controller, runs in self._groups(drafting):
            batch = [seen[run.entry.id] for run in runs]
            draft_ms, begun = step.draft_ms, time.perf_counter()
            try:
                drafter.observe(batch, outcome)
                step.draft_ms = draft_ms + accounting.ms_since(begun)
                controller.observe(batch, accounting.report(step, plan, before))
            except Exception as error:
                for run in runs:
                    self._give_up(run, drafter, error)
            step.draft_ms = draft_ms + accounting.ms_since(begun)

    def _keep(self, outcome: Pass, planned: Planned, verdict: Verdict, pass_ms: float) -> Event:
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
        # Plain decoding would have taken a step for the end of text too.
        planned.gained = len(kept) + (len(kept) < len(said) and said[len(kept)] in job.stop_tokens)
        accounting.count_tokens(planned, verdict, len(kept))
        chosen = None
        if job.logprobs is not None and planned.root is not None:
            rows = [planned.root, *(planned.root + 1 + node for node in accepted)][: len(kept)]
            chosen = self._logprobs(outcome, rows, kept, job.logprobs)
        return Event(
            run.index,
            piece.text,
            tuple(kept),
            self._origins(planned, accepted)[: len(kept)],
            len(planned.tree),
            chosen,
            self._prompt_report(run),
            reason,
            pass_ms=pass_ms,
        )

    def _origins(self, planned: Planned, accepted: Sequence[int]) -> tuple[str | None, ...]:
        """Who proposed each of the step's tokens."""
        if not accepted:
            return (None,)
        names = planned.tree.origins
        drafter = self.parts.drafter_name(planned.run.job.speculation)
        return (*(names[node] if names else drafter for node in accepted), None)

    def _prompt_report(self, run: Run) -> tuple[TokenLogprob, ...] | None:
        """The prompt's log-probabilities, once, with the first event of completion 0."""
        if run.job.prompt_logprobs is None or run.index or run.prompt_reported:
            return None
        run.prompt_reported = True
        return tuple(run.prompt_logprobs)

    def _say(self, run: Run, event: Event) -> None:
        if event.finish_reason is None:
            run.job.emit(event)
        else:
            self._finish(run, event)

    def _finish(self, run: Run, last: Event) -> None:
        """End a completion; `last` says why."""
        rest = "" if run.sink.stopped else run.sink.finish()
        reason = "stop" if run.sink.stopped else last.finish_reason
        self.scheduler.release(run)
        run.usage.total_ms = (time.perf_counter() - run.submitted) * 1000
        if run.drafts:
            drafter, _, _ = self._parts(run)
            try:
                drafter.end(run.entry)
            except Exception as failure:
                self._give_up(run, drafter, failure)
        run.job.emit(replace(last, text=last.text + rest, finish_reason=reason, usage=run.usage))
