"""A cascade as a file: its stages, what they cost, and how its predictor is made."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Final, Literal, Self, get_args

from outrider.errors import UsageError, unknown_name
from outrider.generators import is_address
from outrider.models.catalogue import DEFAULT_MODEL
from outrider.strategies.cascade.files import make, read_mapping
from outrider.types import Sampling

Style = Literal["direct", "steps", "examples"]
Regressor = Literal["trees", "logistic", "keywords"]

NOT_PART_OF_AN_ANSWER: Final = ("name", "memory", "pinned", "cost", "context", "cache", "endpoint")
"""Settings of a stage that change what it costs, or where it is, and not what it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What an answer costs, where it is declared rather than measured.

    Attributes:
        ms: milliseconds of an answer; None takes the measured time.
        money: of an answer, in any currency.
        money_per_million_prompt_tokens: in the same currency.
        money_per_million_tokens: of generated tokens.
    """

    ms: float | None = None
    money: float = 0.0
    money_per_million_prompt_tokens: float = 0.0
    money_per_million_tokens: float = 0.0

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self)):
            _amount(f"{name} of a cost", getattr(self, name), optional=name == "ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The unit in which a cascade counts: so much a millisecond, a generated token, a coin."""

    ms: float = 1.0
    tokens: float = 0.0
    money: float = 0.0

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self)):
            _amount(f"the weight of {name}", getattr(self, name))
        if not any((self.ms, self.tokens, self.money)):
            raise UsageError("At least one weight of the cost has to be above 0.")

    @property
    def unit(self) -> str:
        """What one unit of cost is called."""
        used = [name for name in ("ms", "tokens", "money") if getattr(self, name)]
        if len(used) == 1 and getattr(self, used[0]) == 1.0:
            return used[0]
        return " + ".join(f"{getattr(self, name):g}·{name}" for name in used)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A worked example of the style `examples`."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSettings:
    """One stage: a model, how it is asked, and what that costs.

    Attributes:
        name: what reports call it; also tells stages apart.
        model: a name of the catalogue, `hf:owner/repo/file.gguf`, a GGUF file, or what an endpoint
            calls its model; None takes the default model, or the endpoint's only one.
        endpoint: the address of a server that speaks the OpenAI protocol, which may end in `#NAME`
            for the model; None runs it here.
        style: `direct` asks for the answer alone, `steps` for steps and then the answer, and
            `examples` shows worked examples and leaves the next one open.
        template: the question's text, with {question} and {choices}; None takes the style's.
        system: the system message of a chat.
        examples: shown by the style `examples`; none takes a few of our own.
        opening: how the answer begins; the model goes on from there.
        raw: continue plain text instead of a chat; None does so for the style `examples`.
        max_tokens: of one answer.
        stop: texts before which an answer ends; None takes the style's.
        temperature: of sampling.
        top_p: of sampling.
        samples: answers to draw; with more than one the commonest wins.
        logprobs: ask for log-probabilities, from which the predictor learns; false for what gives
            none, such as some servers and other strategies.
        self_check: ask the model afterwards, with one token, whether its answer is right.
        memory: bytes that the loaded model takes; None estimates them from its file.
        context: tokens of the longest prompt and answer; None takes what the model was made for.
        cache: bytes of its key-value cache.
        pinned: never unload it.
        cost: declared costs.
    """

    name: str
    model: str | None = None
    endpoint: str | None = None
    style: Style = "direct"
    template: str | None = None
    system: str | None = None
    examples: tuple[Example, ...] = ()
    opening: str = ""
    raw: bool | None = None
    max_tokens: int = 128
    stop: tuple[str, ...] | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    samples: int = 1
    logprobs: bool = True
    self_check: bool = False
    memory: int | None = None
    context: int | None = None
    cache: int | None = None
    pinned: bool = False
    cost: Cost = field(default_factory=Cost)

    def __post_init__(self) -> None:
        where = f"the stage {self.name!r}"
        if not self.name:
            raise UsageError("Every stage of a cascade needs a name.")
        if self.style not in get_args(Style):
            raise unknown_name(f"style of {where}:", self.style, get_args(Style))
        for name in ("max_tokens", "samples"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} of {where} has to be at least 1.")
        if self.samples > 1 and self.temperature == 0:
            raise UsageError(
                f"{where.capitalize()} draws {self.samples} samples at temperature 0, where all "
                "are the same; give it a temperature such as 0.7."
            )
        if self.examples and self.style != "examples":
            raise UsageError(f"{where.capitalize()} has examples, and its style shows none.")
        if self.is_raw and self.system is not None:
            raise UsageError(f"{where.capitalize()} continues plain text, which has no system.")
        if self.self_check and not self.logprobs:
            raise UsageError(f"The self-check of {where} needs logprobs; leave one of them out.")
        if self.endpoint is not None and not is_address(self.endpoint):
            raise UsageError(
                f"The endpoint of {where} has to be an address such as "
                f"http://127.0.0.1:8000/v1, not {self.endpoint!r}."
            )
        if self.endpoint is not None and "#" in self.endpoint and self.model is not None:
            raise UsageError(
                f"{where.capitalize()} names its model twice, in the endpoint {self.endpoint} and "
                f"as {self.model!r}; leave one of them out."
            )
        Sampling(temperature=self.temperature, top_p=self.top_p)

    @property
    def is_raw(self) -> bool:
        """Whether the model continues plain text."""
        return self.style == "examples" if self.raw is None else self.raw

    def fingerprint(self) -> str:
        """Changes with everything that may change an answer; a server may move."""
        said = {k: v for k, v in asdict(self).items() if k not in NOT_PART_OF_AN_ANSWER}
        if self.endpoint is None:
            return digest(said | {"model": self.local_model})
        named = self.endpoint.partition("#")[2] or None
        return digest(said | {"model": named or self.model, "served": True})

    @property
    def local_model(self) -> str:
        """What is loaded where no endpoint is given."""
        return DEFAULT_MODEL if self.model is None else self.model


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorSettings:
    """How the quality predictor is made.

    Attributes:
        regressor: `trees` (gradient boosting), `logistic`, or `keywords`: a logistic regression
            on the question's length and key words alone, the baseline to beat.
        folds: of the cross-fitting, at least 2.
        holdout: share of the collected questions that training leaves for `eval`.
        calibration: share of the others on which probabilities are calibrated.
        bins: quantile bins of a stage's scores in the table of transitions.
        seed: of the splits and of the boosting.
    """

    regressor: Regressor = "trees"
    folds: int = 5
    holdout: float = 0.5
    calibration: float = 0.3
    bins: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if self.regressor not in get_args(Regressor):
            raise unknown_name("regressor", self.regressor, get_args(Regressor))
        if self.folds < 2 or self.bins < 1:
            raise UsageError("A predictor needs at least 2 folds and 1 bin.")
        if not 0 <= self.holdout < 1 or not 0 < self.calibration < 1:
            raise UsageError("holdout has to lie in [0, 1), and calibration in (0, 1).")


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeSettings:
    """A ladder of stages, from the cheapest to the dearest.

    Attributes:
        stages: in the order in which they are asked.
        tasks: the graded questions that `collect` asks when no others are named.
        memory: bytes that all loaded models may take together; None sets no limit.
        cost: the unit of cost.
        predictor: how the quality predictor is made.
        concurrency: questions that are answered at the same time.
        seed: from which every question's seed is derived.
    """

    stages: tuple[StageSettings, ...]
    tasks: tuple[str, ...] = ()
    memory: int | None = None
    cost: Weights = field(default_factory=Weights)
    predictor: PredictorSettings = field(default_factory=PredictorSettings)
    concurrency: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.stages:
            raise UsageError("A cascade needs at least one stage.")
        names = [stage.name for stage in self.stages]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise UsageError(f"Two stages are called {twice!r}; give each a name of its own.")
        if self.concurrency < 1:
            raise UsageError("concurrency has to be at least 1.")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a cascade file: YAML, or TOML where its name ends in .toml.

        Raises:
            UsageError: it cannot be read, holds no cascade, or has a key that cascades do not have.
        """
        return make(cls, read_mapping(path), f"the cascade {path}")

    def fingerprints(self) -> dict[str, str]:
        """Each stage's fingerprint, by its name."""
        return {stage.name: stage.fingerprint() for stage in self.stages}


def digest(value: object) -> str:
    """A hash of JSON values that does not depend on the order of keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _amount(name: str, value: float | None, *, optional: bool = False) -> None:
    if value is None and optional:
        return
    if value is None or not math.isfinite(value) or value < 0:
        raise UsageError(f"{name} has to be a number of at least 0, not {value!r}.")
