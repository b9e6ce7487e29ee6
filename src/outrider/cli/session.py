"""A model loaded as the options say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from outrider.cli.options import CacheOptions, MachineOptions, SpeculationOptions
from outrider.cli.output import show_progress, warn

if TYPE_CHECKING:
    from outrider.llm import LLM


@contextmanager
def load_model(
    machine: MachineOptions,
    cache: CacheOptions,
    speculation: SpeculationOptions,
    *,
    accept_terms: bool,
) -> Iterator[LLM]:
    """The model, fetched first if it is not here."""
    from outrider.llm import LLM  # noqa: PLC0415

    with show_progress() as listener:
        llm = LLM(
            machine.model,
            threads=machine.threads,
            kernel=machine.kernel,
            accept_terms=accept_terms,
            progress=listener,
            **cache.settings(),
            **speculation.settings(),
        )
    with llm:
        if not llm.plan.tuned_for(llm.model.fingerprint):
            tuned = llm.plan.record.get("model", "another model")
            warn(
                f"The plan {llm.plan.name} was found with {tuned}, so what it promises need not "
                f"hold for {llm.model.name}; `outrider tune -m {machine.model}` finds one for it."
            )
        yield llm


def model_record(llm: LLM, model: str) -> dict[str, Any]:
    """What a record says about the model and what computes it."""
    return {
        "model": model,
        "fingerprint": llm.model.fingerprint,
        **llm.model.facts,
        "context": llm.context,
        "plan": llm.plan.name,
        "drafter": llm.plan.drafter if llm.speculation else "none",
    }
