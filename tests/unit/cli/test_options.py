from __future__ import annotations

import inspect
from pathlib import Path
from typing import get_args

import pytest
import typer
from typer.testing import CliRunner

from outrider.cli.app import app as outrider_app
from outrider.cli.options import (
    CacheOptions,
    Json,
    PromptOptions,
    SamplingOptions,
    SpeculationOptions,
    command,
    parse_size,
)
from outrider.errors import UsageError
from outrider.settings import Settings


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("1000000", 10**6),
        ("512MB", 512 * 10**6),
        ("2GiB", 2 << 30),
        ("1.5 kib", 1536),
        (" 3gb ", 3 * 10**9),
        ("64B", 64),
    ],
)
def test_sizes(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "GB", "-1", "2 parsecs", "1e9", "1,5GB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size"):
        parse_size(text)


def test_prompts_by_what_is_given() -> None:
    categories = 13
    assert len(PromptOptions().read()) == 2 * categories
    assert len(PromptOptions().read(categories)) == categories
    assert len(PromptOptions(limit=5).read(categories)) == 5
    assert len(PromptOptions(prompts="algebra:count=4").read()) == 4
    assert (PromptOptions().name, PromptOptions(prompts="gsm8k").name) == ("built in", "gsm8k")
    with pytest.raises(UsageError, match="at least 1 prompt, not 0"):
        PromptOptions(limit=0).read(categories)


def run(arguments: list[str]) -> list[object]:
    seen: list[object] = []
    app = typer.Typer(rich_markup_mode=None)

    @app.command()
    @command
    def try_out(
        word: str, *, cache: CacheOptions, sampling: SamplingOptions, json: Json = False
    ) -> None:
        """Try out."""
        seen.extend([word, cache, sampling, json])

    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return seen


def test_a_group_of_options_arrives_as_one_value() -> None:
    assert run(["hi"]) == ["hi", CacheOptions(), SamplingOptions(), False]
    assert run(
        ["hi", "--top-k", "3", "--context", "64", "--stop", "a", "--stop", "b", "--json"]
    ) == [
        "hi",
        CacheOptions(context=64),
        SamplingOptions(top_k=3, stop=["a", "b"]),
        True,
    ]


def test_only_what_was_given_becomes_a_setting() -> None:
    assert SamplingOptions().settings() == {}
    assert SamplingOptions(temperature=0.0, stop=["x"]).settings() == {
        "temperature": 0.0,
        "stop": ("x",),
    }
    assert CacheOptions(cache_budget="1MiB").settings() == {"cache_budget": 1 << 20}
    assert SpeculationOptions(drafter="ngram").settings() == {"drafter": "ngram"}
    assert SpeculationOptions(no_speculation=True).settings() == {"speculation": False}


def test_a_record_holds_what_a_plan_says_and_not_where_it_lies(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text('{"name": "short", "drafter": "ngram", "num_draft_tokens": 2}')
    record = SpeculationOptions(plan=file, controller="fixed").record()
    assert record["controller"] == "fixed"
    assert record["plan"]["name"] == "short"
    assert record["plan"]["num_draft_tokens"] == 2
    assert SpeculationOptions().record() == {}


def test_sampling_options_are_settings_of_the_library() -> None:
    from outrider.llm import LLM

    assert set(SamplingOptions.__dataclass_fields__) <= set(Settings.__annotations__)
    arguments = set(inspect.signature(LLM.__init__).parameters)
    assert set(CacheOptions.__dataclass_fields__) <= arguments
    assert {"drafter", "num_draft_tokens", "speculation"} <= arguments


def test_an_option_is_the_same_in_every_command() -> None:
    seen: dict[str, tuple[object, str]] = {}
    # What certify and tune compare may be given several times, and they have measures of their own;
    # replay reads no more of a model than its tokenizer, memory no more than its sizes, and pack
    # puts models and plans away.
    others = ("certify", "memory", "pack", "replay", "tune")
    commands = [c.callback for c in outrider_app.registered_commands if c.name not in others]
    assert len(commands) == 9
    for function in commands:
        assert function is not None
        for parameter in inspect.signature(function).parameters.values():
            if (function.__name__, parameter.name) == ("think", "endpoint"):
                continue  # two models, so perhaps two servers
            (info,) = get_args(parameter.annotation)[1:]
            if isinstance(info, typer.models.OptionInfo):
                says = (info.param_decls, info.help, info.metavar, parameter.default)
                known = seen.setdefault(parameter.name, (says, function.__name__))
                assert known[0] == says, f"--{parameter.name} of {known[1]} and {function.__name__}"
    assert {"model", "max_tokens", "json"} <= set(seen)
