"""Thinking with two real servers, llama.cpp's, each with a model of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from outrider.cli.app import app
from outrider.remote import OpenAIGenerator
from outrider.strategies.thinking import Keywords, Thinking, ThinkingConfig
from outrider.types import Message, Request, Sampling
from servers import llamacpp

ASKED = (Message("user", "Explain in three short paragraphs why the sky is blue."),)

ENDLESS = Request(prompt="Once upon a time", max_tokens=None, ignore_eos=True)
"""An answer that would go on to the end of a context of 2048 tokens."""

OFTEN = ThinkingConfig(
    consult_always=True, probe_tokens=4, begin=True, begin_tokens=6, triggers=(".", ",")
)
"""The large model has its say at every comma."""


@pytest.fixture(scope="module")
def addresses(model_path: Path, gemma_path: Path) -> Iterator[tuple[str, str]]:
    with llamacpp(model_path) as small, llamacpp(gemma_path) as large:
        yield small, large


@pytest.fixture(scope="module")
def pair(addresses: tuple[str, str]) -> Iterator[tuple[OpenAIGenerator, OpenAIGenerator]]:
    with OpenAIGenerator(addresses[0]) as small, OpenAIGenerator(addresses[1]) as large:
        yield small, large


def free(server: OpenAIGenerator) -> bool:
    """Whether the server's only place answers somebody else."""
    return server.generate("Hello", max_tokens=2).usage.completion_tokens == 2


def test_the_servers_own_templates_begin_the_text(
    pair: tuple[OpenAIGenerator, OpenAIGenerator],
) -> None:
    small, _ = pair
    alone = small.generate(ASKED, max_tokens=60)
    silent = ThinkingConfig(keywords=Keywords(verify=(), negative=(), positive=()))

    both = Thinking(*pair, silent).generate(Request(messages=ASKED, max_tokens=60))

    assert both.text == alone.text
    assert both.usage.prompt_tokens == alone.usage.prompt_tokens
    assert both.record["small"]["requests"] == 1  # a neutral probe is not asked for again
    assert both.record["large"]["requests"] == 0


def test_both_write_and_each_reads_what_the_other_wrote(
    pair: tuple[OpenAIGenerator, OpenAIGenerator],
) -> None:
    request = Request(messages=ASKED, max_tokens=80, sampling=Sampling(temperature=0.6, seed=3))
    stream = Thinking(*pair, OFTEN).stream(request)
    said = "".join(event.text for event in stream)

    record = stream.record
    assert said == "".join(stretch.text for stretch in record.stretches)
    assert record.stretches[0].author == "large"
    assert {s.author for s in record.stretches} == {"small", "large"}
    assert record.tokens() <= 80
    assert record.validations > 1
    assert record.small.rejected_tokens > 0
    assert record.large.requests > 1
    # What the small model reads it has in its cache, but for the other's last stretch. (Gemma's
    # sliding windows keep llama.cpp from reusing a beginning, so the large model's says nothing.)
    assert record.small.requests > 1
    assert record.small.usage.cached_tokens > record.small.usage.prompt_tokens / 2


def test_an_answer_is_cancelled_from_another_thread(
    pair: tuple[OpenAIGenerator, OpenAIGenerator],
) -> None:
    stream = Thinking(*pair, OFTEN).stream(ENDLESS)
    seen = {"small": 0, "large": 0}
    for event in stream:
        if event.author in seen:
            seen[event.author] += 1
        if all(seen.values()) and sum(seen.values()) == 20:
            threading.Thread(target=stream.cancel).start()

    assert stream.completion.finish_reason == "cancelled"
    assert 20 <= stream.record.tokens() < 1000
    assert all(map(free, pair))


def test_a_time_limit_ends_an_answer(pair: tuple[OpenAIGenerator, OpenAIGenerator]) -> None:
    limited = ThinkingConfig(time_out=0.4, consult_always=True, probe_tokens=4)
    stream = Thinking(*pair, limited).stream(ENDLESS)

    done = stream.finish()

    assert stream.record.ended_by == "time_out"
    assert done.text
    assert done.finish_reason == "cancelled"
    assert all(map(free, pair))


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, list(arguments))


def test_endpoints_are_searched_for_the_models_of_a_configuration(
    addresses: tuple[str, str], pair: tuple[OpenAIGenerator, OpenAIGenerator], tmp_path: Path
) -> None:
    config = tmp_path / "pair.yml"
    names = {"speculative_model_name": pair[0].model, "target_model_name": pair[1].model}
    config.write_text(json.dumps({**names, "begin": True, "begin_token_num": 5}))
    given = ("--endpoint", addresses[1], "--endpoint", addresses[0], "--config", str(config))

    result = run("think", "Name two colours.", *given, "--max-tokens", "16", "--json")

    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    assert values["small"] == f"{addresses[0]}#{pair[0].model}"
    assert values["large"] == f"{addresses[1]}#{pair[1].model}"
    assert values["record"]["stretches"][0]["author"] == "large"


def test_addresses_stand_in_the_models_places(addresses: tuple[str, str]) -> None:
    small, large = addresses
    given = ("--small", small, "--large", large, "--max-tokens", "12")

    result = run("think", "Name two colours.", *given)

    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip()
    assert f"small {small}: " in result.stderr


def test_the_benchmark_runs_on_servers(addresses: tuple[str, str], tmp_path: Path) -> None:
    small, large = addresses
    output = tmp_path / "out.json"
    given = ("--small", small, "--large", large, "--task-config", "arithmetic:count=2,levels=1")
    size = ("--num-problems", "2", "--num-runs", "1", "--max-tokens", "16")

    result = run("bench", "thinking", *given, *size, "--output", str(output))

    assert result.exit_code == 0, result.stderr
    values = json.loads(output.read_text())
    assert values["large_model"]["statistics"]["latency"]["mean"] > 0
    assert values["speculative_thinking"]["statistics"]["total_tokens"]["max"] <= 16
    assert "what its cache holds" in result.stderr
