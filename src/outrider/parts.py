"""The parts that ride together: drafters, controllers and verifiers, each made once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from outrider import registry
from outrider.control.base import Controller
from outrider.drafters.base import Drafter
from outrider.engines.base import TargetModel
from outrider.errors import UsageError
from outrider.plan import Plan
from outrider.types import Speculation
from outrider.verify import Verifier

Load = Callable[[registry.Group, str], Any]
Watch = Callable[[Verifier], Verifier]


class Parts:
    """What a request's speculation names, as objects that requests share.

    Args:
        engine: the target model.
        plan: names what a request does not.
        load: finds a plug-in by its group and name.
    """

    def __init__(self, engine: TargetModel, plan: Plan, load: Load = registry.load) -> None:
        self.plan = plan
        self.drafters: dict[str, Drafter] = {}
        self._engine = engine
        self._load = load
        self._controllers: dict[tuple[str, int | None, str], Controller] = {}
        self._verifiers: dict[str, Verifier] = {}
        self._watch: Watch | None = None
        self._made: dict[Speculation, tuple[Drafter, Controller, Verifier]] = {}

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the plan's drafter drafts with, for records; empty before it is made."""
        drafter = self.drafters.get(self.plan.drafter)
        return {} if drafter is None else drafter.facts

    def drafter_name(self, wish: Speculation) -> str:
        """What a request's drafts come from, without options."""
        return (wish.drafter or self.plan.drafter).partition(":")[0]

    def reset(self) -> None:
        """Drafters forget what they have learnt, and controllers begin anew."""
        for drafter in self.drafters.values():
            drafter.reset()
        self._controllers.clear()
        self._made.clear()

    def watch(self, watch: Watch | None) -> None:
        """Have what verifiers decide pass through what `watch` makes of each; None ends that."""
        self._watch = watch
        self._made.clear()

    def of(self, wish: Speculation) -> tuple[Drafter, Controller, Verifier]:
        """The parts that a request asks for; requests that name the same get the same.

        Raises:
            UsageError: a part is not registered, or the parts do not go together.
            OutriderError: a part cannot be made.
        """
        made = self._made.get(wish)
        if made is None:
            made = self._made[wish] = self._make(wish)
        return made

    def _make(self, wish: Speculation) -> tuple[Drafter, Controller, Verifier]:
        # Plain decoding makes the target's own choices: what would have drafted is not made, and
        # what would have judged its drafts does not matter.
        name = (wish.drafter or self.plan.drafter) if wish.enabled else "none"
        verification = (wish.verification or self.plan.verification) if wish.enabled else "coupled"
        if name not in self.drafters:
            self.drafters[name] = self._load("drafters", name)(self._engine)
        count = wish.num_draft_tokens
        key = (
            wish.controller or self.plan.controller,
            self.plan.num_draft_tokens if count is None else count,
            name,
        )
        if key not in self._controllers:
            self._controllers[key] = self._load("controllers", key[0])(self._engine.cost, key[1])
        if verification not in self._verifiers:
            self._verifiers[verification] = self._load("verifiers", verification)()
        drafter, controller = self.drafters[name], self._controllers[key]
        verifier = self._verifiers[verification]
        if drafter.draws and controller.looks_at_draws and verifier.weighs_draws:
            raise UsageError(
                f"The controller {key[0]!r} drops drafted tokens by their probabilities, so "
                f"{verification!r} verification cannot judge what the drafter {name!r} draws; "
                "use the controller 'fixed' or coupled verification."
            )
        return drafter, controller, verifier if self._watch is None else self._watch(verifier)
