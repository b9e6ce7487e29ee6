"""A plan: how to speculate, as a value that can be kept in a file and handed on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from outrider import registry
from outrider.errors import UsageError, unknown_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which parts ride together; what a request does not ask for differently it gets from here.

    Attributes:
        name: what people call it.
        drafter: a registered drafter, options behind a colon; "none" decodes plainly.
        controller: a registered controller.
        num_draft_tokens: draft rows a step at most; None leaves it to the controller.
        verification: a registered verifier.
        record: where the plan comes from, for plans that were found by measuring.
    """

    name: str = "default"
    drafter: str = "mixed"
    controller: str = "cost"
    num_draft_tokens: int | None = None
    verification: str = "coupled"
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def plain(self) -> bool:
        """Whether it decodes plainly."""
        return self.drafter == "none"

    @property
    def draft_model(self) -> str | None:
        """The model that the drafter drafts with; None where it needs none."""
        _, _, options = self.drafter.partition(":")
        for option in options.split(","):
            key, _, value = option.partition("=")
            if key == "draft_model":
                return value
        return None

    def tuned_for(self, fingerprint: str) -> bool:
        """Whether nothing says that the plan was found with another model's file."""
        return bool(self.record.get("fingerprint", fingerprint) == fingerprint)

    @classmethod
    def parse(cls, text: str) -> Self:
        """A plan by its file, or by its parts: `drafter` or `drafter/controller`.

        Options stand behind a part's name, as in `recycle:k=4/threshold`; what is not named is the
        default plan's. Such a plan is called by what was written.

        Raises:
            UsageError: it is neither a file nor registered parts, or the file is no plan.
        """
        path = Path(text)
        if path.suffix == ".json" or path.is_file():
            return cls.load(path)
        # The options of a drafter may hold paths.
        head, slash, tail = text.rpartition("/")
        named = tail.partition(":")[0] in registry.names("controllers") or ":" not in text
        drafter, controller = (head, tail) if slash and named else (text, None)
        registry.load("drafters", drafter)
        if controller is not None:
            registry.load("controllers", controller)
        return replace(cls().but(drafter=drafter, controller=controller), name=text)

    def but(
        self,
        *,
        drafter: str | None = None,
        draft_model: str | None = None,
        controller: str | None = None,
        num_draft_tokens: int | None = None,
        verification: str | None = None,
    ) -> Self:
        """The plan with what is not None changed.

        Args:
            drafter: a registered drafter, options behind a colon.
            draft_model: the model that drafts: short for the drafter `model:draft_model=…`.
            controller: a registered controller.
            num_draft_tokens: draft rows a step at most.
            verification: a registered verifier.

        Raises:
            UsageError: a draft model together with a drafter that has none.
        """
        if draft_model is not None:
            if drafter not in (None, "model"):
                raise UsageError(
                    f"A draft model is for the drafter 'model', not for {drafter!r}; name one of "
                    "the two, or write the drafter out, such as 'model:draft_model=NAME'."
                )
            drafter = f"model:draft_model={draft_model}"
        wishes: dict[str, Any] = {
            "drafter": drafter,
            "controller": controller,
            "num_draft_tokens": num_draft_tokens,
            "verification": verification,
        }
        changes = {name: wish for name, wish in wishes.items() if wish is not None}
        return replace(self, **changes) if changes else self

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a plan from a JSON file.

        Raises:
            UsageError: the file cannot be read, is no plan, or has a key that plans do not have.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"The plan {path} cannot be read: {error.strerror}.") from error
        except ValueError as error:
            raise UsageError(f"The plan {path} is not JSON: {error}.") from error
        if not isinstance(values, dict):
            raise UsageError(f"The plan {path} is not a JSON object.")
        kinds: dict[str, type | tuple[type, ...]] = {
            "num_draft_tokens": (int, type(None)),
            "record": dict,
        }
        known = [f.name for f in fields(cls)]
        for key, value in values.items():
            if key not in known:
                raise unknown_name(f"key of the plan {path}:", key, known)
            wrong = not isinstance(value, kinds.get(key, str)) or isinstance(value, bool)
            if wrong or (isinstance(value, int) and value < 0):
                raise UsageError(f"The plan {path} has {value!r} as its {key}.")
        return cls(**values)

    def save(self, path: Path) -> None:
        """Write it as JSON.

        Raises:
            UsageError: the file cannot be written.
        """
        try:
            path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"The plan {path} cannot be written: {error.strerror}.") from error
