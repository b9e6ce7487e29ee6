"""A draft model: a smaller model, of the same tokenizer unless it drafts through text."""

from __future__ import annotations

from outrider import models
from outrider.drafters import vocabulary
from outrider.drafters.base import Drafter
from outrider.drafters.cached import CachedDrafter, native_target, open_draft
from outrider.drafters.through_text import TextDrafter
from outrider.engines.base import TargetModel
from outrider.errors import UsageError
from outrider.models.gguf import GgufFile


class ModelDrafter(CachedDrafter):
    """Drafts with another model of the same tokenizer.

    Args:
        target: the model whose choices are guessed.
        draft_model: a name of the catalogue, `hf:owner/repo/file.gguf`, or a GGUF file.
        threads: of the draft model; None takes the target's.
        cache_budget: bytes for the draft model's keys and values; see `open_draft`.
        draws: draw chains, for verification by rejection; see `PassDrafter`.
        branch: guesses that follow a node; 1 drafts chains.

    Raises:
        UsageError: the tokenizers differ (the message says how), or an argument cannot be had.
        ModelFileError: the file is damaged or not supported.
        DownloadError: the model is not here and cannot be fetched.
        CapacityError: there is not enough memory for it.
    """

    def __init__(
        self,
        target: TargetModel,
        *,
        draft_model: str,
        threads: int | None = None,
        cache_budget: int | None = None,
        draws: bool = False,
        branch: int = 1,
    ) -> None:
        native = native_target(target, "model")

        def check(file: GgufFile) -> None:
            found = vocabulary.difference(native.file.metadata, file.metadata)
            if found is not None:
                raise UsageError(
                    f"The draft model {draft_model} has another tokenizer than "
                    f"{native.file.name}: {found}; use a model of the same family, or draft "
                    f"through text with 'model:draft_model={draft_model},through_text=true'."
                )

        engine = open_draft(
            native,
            models.ensure(draft_model),
            threads=threads,
            cache_budget=cache_budget,
            check=check,
        )
        super().__init__(target, engine, draws=draws, branch=branch)


def model_drafter(
    target: TargetModel,
    *,
    draft_model: str | None = None,
    through_text: bool = False,
    threads: int | None = None,
    cache_budget: int | None = None,
    draws: bool = False,
    branch: int = 1,
) -> Drafter:
    """The drafter `model`; see `ModelDrafter` for the arguments.

    Args:
        target: as there.
        draft_model: as there, and needed.
        through_text: draft with a model of any tokenizer; see `TextDrafter`.
        threads: as there.
        cache_budget: as there.
        draws: as there; not through text.
        branch: as there; 1 through text.

    Raises:
        UsageError: no draft model is named, or as `ModelDrafter`.
        ModelFileError: as `ModelDrafter`.
        DownloadError: as `ModelDrafter`.
        CapacityError: as `ModelDrafter`.
    """
    if draft_model is None:
        raise UsageError(
            "The drafter 'model' needs a model to draft with: --draft-model NAME, or "
            "'model:draft_model=NAME'."
        )
    if not through_text:
        return ModelDrafter(
            target,
            draft_model=draft_model,
            threads=threads,
            cache_budget=cache_budget,
            draws=draws,
            branch=branch,
        )
    if draws or branch != 1:
        raise UsageError("Drafts through text are chains that are not drawn: no draws, branch 1.")
    return TextDrafter(target, draft_model=draft_model, threads=threads, cache_budget=cache_budget)
