"""How two models think together, as a value; files of the published kind are read as they are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args

import yaml

from outrider.errors import UsageError, unknown_name
from outrider.files import read_text

PUBLISHED: Final = Path(__file__).parents[2] / "data" / "thinking"
"""Where the configuration files that come with the package lie."""

DEFAULT_FILE: Final = PUBLISHED / "qwen3_1.7b_32b.yml"

PolicyName = Literal["keywords", "grades"]

NAMES: Final = {
    "target_model_name": "large",
    "speculative_model_name": "small",
    "TRIGGER_TOKENS": "triggers",
    "TARGET_VALIDATION_KEYWORDS": "keywords",
    "help_think_word": "probe_prefix",
    "help_recap_words": "recap_prefix",
    "max_target_tokens": "probe_tokens",
    "begin_token_num": "begin_tokens",
    "original_recap_token_num": "recap_tokens",
    "recap_after_negative_num": "recap_after",
    "add_each_recap": "recap_growth",
    "add_each_neg": "recap_after_growth",
    "max_recap_token_num": "max_recap_tokens",
    "max_negative_num": "max_recap_after",
    "not_reasoning": "consult_always",
}
"""Keys of the published files and what the settings are called here; the others are the same."""

PLACEMENT: Final = ("mode", "target_model_gpu", "speculative_model_gpu")
"""Keys that say on what hardware the models run, which here the models themselves are asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keywords:
    """Words by which a stretch is judged; the defaults are those of the published runs."""

    verify: tuple[str, ...] = ("verify", "think again", "recap", "check")
    negative: tuple[str, ...] = ("wait", "alternatively", "hold on", "another")
    positive: tuple[str, ...] = ("yeah", "yes", "final answer", "confident")

    def __post_init__(self) -> None:
        for item in fields(self):
            words = _texts(f"keywords.{item.name}", getattr(self, item.name))
            object.__setattr__(self, item.name, words)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingConfig:
    """How two models think together.

    The defaults are the settings of the published run of Qwen3-1.7B with Qwen3-32B.

    Attributes:
        small: what the small model is called, where a file says so.
        large: the same of the large one.
        policy: what decides who writes: `keywords` (the rule of arXiv 2504.12329) or `grades` (the
            large model grades each step, arXiv 2504.07891).
        triggers: texts that end a paragraph, after which the policy decides.
        keywords: by which a stretch is judged.
        probe_tokens: tokens of a probe, and of the large model's own version of it.
        probe_prefix: words inserted before a probe.
        consult_always: the large model writes its own version of neutral probes too; meant for
            small models that do not reason aloud.
        choose_large: the large model's version always stands; else only where the two disagree.
        begin: the large model writes the beginning.
        begin_tokens: how long that is.
        recap_prefix: words inserted before a recap.
        recap_tokens: tokens of the first recap, and of a stretch that verifies.
        recap_growth: how many more the next recap has.
        max_recap_tokens: up to so many.
        recap_after: negative stretches that call for the first recap.
        recap_after_growth: how many more call for the next one.
        max_recap_after: up to so many.
        grade_threshold: the least grade, of 0 to 9, with which a step stands.
        grade_prompt: what the large model is asked behind a step; its next token is the grade.
        step_tokens: tokens of a graded step at most.
        think_end: the text with which the reasoning ends; what follows is the answer, which the
            model that is writing completes without interruption.
        stop: texts before which the answer ends, beside those of a request; models that only
            continue texts need one.
        time_out: seconds after which the answer ends where it is; None, or a number below zero in a
            file, never does.
        small_template: the chat template of the small model: Jinja, or `chatml` or `plain`; None
            takes the model's own, or `plain` where it has none.
        large_template: the same of the large one.
        placement: what a published file says about hardware; kept for the record, without effect.
    """

    small: str | None = None
    large: str | None = None
    policy: PolicyName = "keywords"
    triggers: tuple[str, ...] = ("\n\n",)
    keywords: Keywords = field(default_factory=Keywords)
    probe_tokens: int = 20
    probe_prefix: str | None = None
    consult_always: bool = False
    choose_large: bool = True
    begin: bool = False
    begin_tokens: int = 100
    recap_prefix: str = "Let me check whether there are some wrong steps:"
    recap_tokens: int = 125
    recap_growth: int = 25
    max_recap_tokens: int = 200
    recap_after: int = 15
    recap_after_growth: int = 5
    max_recap_after: int = 30
    grade_threshold: int = 7
    grade_prompt: str = "Grade of the last step, from 0 (wrong) to 9 (certainly right): "
    step_tokens: int = 512
    think_end: str = "</think>"
    stop: tuple[str, ...] = ()
    time_out: float | None = None
    small_template: str | None = None
    large_template: str | None = None
    placement: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.policy not in get_args(PolicyName):
            raise unknown_name("policy", str(self.policy), get_args(PolicyName))
        object.__setattr__(self, "triggers", _texts("triggers", self.triggers, least=1))
        object.__setattr__(self, "stop", _texts("stop", self.stop))
        for name in ("probe_tokens", "begin_tokens", "recap_tokens", "recap_after", "step_tokens"):
            _whole(name, getattr(self, name), 1)
        for name in ("recap_growth", "recap_after_growth"):
            _whole(name, getattr(self, name), 0)
        _whole("max_recap_tokens", self.max_recap_tokens, self.recap_tokens)
        _whole("max_recap_after", self.max_recap_after, self.recap_after)
        _whole("grade_threshold", self.grade_threshold, 0, 9)
        for name in ("consult_always", "choose_large", "begin"):
            if not isinstance(getattr(self, name), bool):
                raise _wrong(name, "true or false", getattr(self, name))
        for name in ("recap_prefix", "grade_prompt", "think_end"):
            if not isinstance(getattr(self, name), str):
                raise _wrong(name, "text", getattr(self, name))
        for name in ("small", "large", "probe_prefix", "small_template", "large_template"):
            if not isinstance(getattr(self, name), str | None):
                raise _wrong(name, "text or nothing", getattr(self, name))
        number = isinstance(self.time_out, int | float) and not isinstance(self.time_out, bool)
        if self.time_out is not None and not (number and self.time_out > 0):
            raise _wrong("time_out", "a number of seconds above zero", self.time_out)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a YAML file with these settings, under their names here or the published ones.

        Raises:
            UsageError: the file cannot be read, is no such file, has a key that does not exist (the
                nearest one is named), or a setting twice.
        """
        try:
            values = yaml.load(read_text(path, f"The configuration {path}"), _Loader)
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise UsageError(f"The configuration {path} is not YAML: {reason}.") from error
        if not isinstance(values, dict):
            raise UsageError(f"The configuration {path} has no settings; write key: value in it.")
        try:
            return cls.of(values)
        except UsageError as error:
            raise UsageError(f"The configuration {path}: {error}") from error

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The configuration that settings under their names here or the published ones make.

        Raises:
            UsageError: a key does not exist, stands there twice, or has no valid value.
        """
        known = {item.name for item in fields(cls)}
        settings: dict[str, Any] = {}
        placement = {key: values[key] for key in PLACEMENT if key in values}
        for key, value in values.items():
            if key in placement:
                continue
            name = NAMES.get(key, key)
            if name not in known:
                raise unknown_name("setting", str(key), {*known, *NAMES, *PLACEMENT})
            if name in settings:
                raise UsageError(f"{name} is set twice, once as {key}; leave one of them out.")
            settings[name] = value
        if placement:
            settings["placement"] = placement
        if isinstance(words := settings.get("keywords"), Mapping):
            kinds = {item.name for item in fields(Keywords)}
            for key in words:
                if key not in kinds:
                    raise unknown_name("kind of keywords", str(key), kinds)
            settings["keywords"] = Keywords(**words)
        elif words is not None:
            raise _wrong("keywords", "lists under verify, negative and positive", words)
        # The published files write "never" as a number below zero.
        if isinstance(limit := settings.get("time_out"), int | float) and limit <= 0:
            settings["time_out"] = None
        return cls(**settings)

    def record(self) -> dict[str, Any]:
        """The settings as JSON takes them."""
        return asdict(self)


class _Loader(yaml.SafeLoader):
    """YAML in which only true and false are truth values, as of version 1.2: `yes` is a keyword."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":bool")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def find_config(text: str) -> Path:
    """A configuration by its path, or by the name of one that comes with the package.

    Raises:
        UsageError: it is neither.
    """
    path = Path(text)
    if path.exists():
        return path
    shipped = {item.name: item for item in sorted(PUBLISHED.glob("*.yml"))}
    if path.name in shipped and path.parent == Path():
        return shipped[path.name]
    raise UsageError(
        f"There is no configuration {text}; name a YAML file, or one that comes with Outrider: "
        f"{', '.join(shipped)}."
    )


def _wrong(name: str, wanted: str, value: object) -> UsageError:
    return UsageError(f"{name} has to be {wanted}, not {value!r}.")


def _whole(name: str, value: object, low: int, high: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise _wrong(name, f"a whole number of at least {low}", value)
    if high is not None and value > high:
        raise _wrong(name, f"at most {high}", value)


def _texts(name: str, value: object, least: int = 0) -> tuple[str, ...]:
    """A list of texts as a tuple."""
    listed = isinstance(value, Sequence) and not isinstance(value, str)
    texts = tuple(value) if listed and isinstance(value, Sequence) else ()
    if not listed or len(texts) < least or not all(isinstance(t, str) and t for t in texts):
        raise _wrong(name, "a list of non-empty texts", value)
    return texts
