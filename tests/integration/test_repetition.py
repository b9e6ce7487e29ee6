"""A repetition starts from empty drafters: the same prompt is accepted of the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from loop_tools import Asked, run

from outrider.decode import Loop
from outrider.engines.native import NativeEngine
from outrider.text import Tokenizer
from outrider.types import Sampling, Speculation, Usage

TEXT = (
    "A list of colours: red, green, blue, red, green, blue, red. The fox said that the crow had "
    "said that the fox had said:"
)
COUNTERS = (
    "completion_tokens",
    "rows",
    "steps",
    "plain_steps",
    "empty_steps",
    "draft_steps",
    "draft_tokens",
    "accepted_tokens",
    "accepted_per_position",
)


@pytest.fixture(scope="module")
def engine(model_path: Path) -> NativeEngine:
    return NativeEngine(model_path, context=512)


@pytest.fixture(scope="module")
def prompt(engine: NativeEngine) -> list[int]:
    return Tokenizer.from_metadata(engine.file.metadata).encode(TEXT)


def accepted(loop: Loop, prompt: list[int], drafter: str, sampling: Sampling) -> dict[str, object]:
    """The counters of one answer, and its tokens."""
    speculation = Speculation(drafter=drafter, num_draft_tokens=6, controller="fixed")
    asked = Asked(prompt, max_tokens=48, sampling=sampling, speculation=speculation)
    run(loop, asked)
    usage = asked.answer.usage
    assert isinstance(usage, Usage)
    assert usage.note is None
    counters = {name: getattr(usage, name) for name in COUNTERS}
    # The cache is no drafter: what of the prompt it has is no difference between repetitions.
    counters["rows"] = usage.rows + usage.cached_tokens
    return counters | {"tokens": asked.answer.tokens, "origins": asked.answer.origins}


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=1.0, top_p=0.95)])
@pytest.mark.parametrize(
    ("drafter", "learns"),
    [
        ("ngram", False),
        ("suffix", False),
        ("suffix:past=true", True),
        ("recycle", True),
        ("mixed", True),
        ("mixed:past=true", True),
        ("early_exit:layers=4", False),
    ],
)
def test_one_prompt_twice_is_accepted_of_alike(
    engine: NativeEngine, prompt: list[int], drafter: str, learns: bool, sampling: Sampling
) -> None:
    loop = Loop(engine)
    first = accepted(loop, prompt, drafter, sampling)
    assert first["draft_tokens"]
    warm = accepted(loop, prompt, drafter, sampling)
    assert warm["tokens"] == first["tokens"]
    if learns:
        assert warm["accepted_tokens"] != first["accepted_tokens"]
    loop.forget()
    assert accepted(loop, prompt, drafter, sampling) == first


def test_a_draft_model_is_caught_up_alike(
    engine: NativeEngine, prompt: list[int], model_path: Path
) -> None:
    loop, sampling = Loop(engine), Sampling(temperature=1.0)
    drafter = f"model:draft_model={model_path},cache_budget=50000000"
    first = accepted(loop, prompt, drafter, sampling)
    assert first["accepted_tokens"] == first["draft_tokens"] != 0
    loop.forget()
    assert accepted(loop, prompt, drafter, sampling) == first


def test_controllers_begin_anew_too(engine: NativeEngine) -> None:
    loop = Loop(engine)
    wish = Speculation(controller="bandit", drafter="ngram")
    drafter, controller, verifier = loop.parts.of(wish)
    assert loop.parts.of(wish) == (drafter, controller, verifier)
    loop.forget()
    again = loop.parts.of(wish)
    assert again[0] is drafter
    assert again[1] is not controller
