"""Comparisons with llama.cpp, without it: what is asked, and what is made of the answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from comparisons import COMPARISONS
from contestants import OURS, Interpreters, contestants
from outrider.errors import UsageError
from outrider.lab.peers import environments
from outrider.lab.peers.copies import SAME_FILE, TWIN
from outrider.models.gguf import GgufFile
from outrider.prompts import Prompt
from report import equal_share, line, reached, summarise, table, targets_table
from sides import Measurement
from synthetic import write
from versus_peers import ask, check, fill

PROMPTS = [Prompt(0, ("one, two", "three"), "counting"), Prompt(1, ("four",))]


@pytest.fixture(scope="module")
def metadata(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("model") / "model.gguf"
    write(path)
    return GgufFile(path).metadata


def test_the_template_is_used_where_there_is_one(metadata: dict[str, Any]) -> None:
    asked = ask(metadata, PROMPTS)
    assert [task.category for task in asked] == ["counting", None]
    bare = ask({k: v for k, v in metadata.items() if k != "tokenizer.chat_template"}, PROMPTS)
    for with_template, without in zip(asked, bare, strict=True):
        shown = ",".join(map(str, with_template.tokens))
        assert f",{','.join(map(str, without.tokens))}," in shown
        assert len(without.tokens) < len(with_template.tokens)


@pytest.mark.parametrize("count", [1, 512, 4096])
def test_a_long_prompt_has_exactly_so_many_tokens(count: int, metadata: dict[str, Any]) -> None:
    tokens = fill(metadata, PROMPTS, count).tokens
    assert len(tokens) == count
    assert tokens == fill(metadata, PROMPTS, count + 100).tokens[:count]


@pytest.mark.parametrize("name", COMPARISONS)
def test_what_is_to_be_reached_is_measured(name: str) -> None:
    comparison = COMPARISONS[name]
    scenario = comparison.scenario
    assert comparison.targets
    for target in comparison.targets:
        assert target.rate in scenario.rates
    assert scenario.max_tokens >= 2
    assert (scenario.prompt_tokens or 0) + scenario.max_tokens <= scenario.context
    # A prompt that is kept has no prefill to compare.
    assert not (scenario.reuse and "prefill" in scenario.rates)


class Reported:
    """What a report needs of a side."""

    def __init__(self, name: str, file: str, system: str = "") -> None:
        self.name, self.file = name, file
        self.report = {"load": [0.3, 0.1, 0.2], "settings": {"system": system}}


def test_the_report_names_what_was_reached() -> None:
    sides: list[Any] = [Reported(OURS, SAME_FILE), Reported("peer", SAME_FILE)]
    sides += [Reported("peer, twin", TWIN), Reported("peer, twin, other", TWIN)]
    seconds = {OURS: 1.0, "peer": 3.0, "peer, twin": 1.5, "peer, twin, other": 2.0}
    found = [Measurement(s.name, 0, None, 0, 4, (1, 2, 3), 1.0, seconds[s.name]) for s in sides]
    found.append(Measurement("peer", 0, None, 1, 4, (1, 9, 3), 1.0, 3.0))

    summary = summarise(COMPARISONS["mix"], sides, found)
    same, twin = reached(COMPARISONS["mix"], summary)

    assert (same["file"], same["peer"], same["ratio"]) == (SAME_FILE, "peer", 3.0)
    assert (twin["file"], twin["peer"], twin["ratio"]) == (TWIN, "peer, twin", 1.5)
    assert summary["equal_until_first_difference"] == {"peer": 4 / 6}
    assert summary["sides"][OURS]["decode_tokens_per_second"] == 2.0
    assert summary["sides"][OURS]["load_seconds"] == 0.2
    assert line(found[-1], found)["equal_tokens"] == 1
    assert "peer, twin, other" in table(COMPARISONS["mix"], summary)
    rows = targets_table({"mix": [same, twin]}).splitlines()
    assert rows[-2].endswith("peer")
    assert rows[-1].endswith("peer, twin  NOT REACHED")


def test_an_answer_that_ends_early_agrees_only_so_far() -> None:
    found = [Measurement(OURS, 0, None, 0, 4, (1, 2, 3, 4), 1.0, 1.0)]
    found += [Measurement("peer", 0, None, 0, 4, (1, 2), 1.0, 1.0)]
    assert equal_share(found, "peer") == 0.5


@pytest.mark.parametrize("name", COMPARISONS)
def test_every_file_with_a_target_has_a_side_of_the_peers(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "llamacpp", lambda *_: Path("python"))
    comparison = COMPARISONS[name]
    files = {target.file: Path(target.file) for target in comparison.targets}
    sides = contestants(comparison, files, 2, Interpreters())
    names = [side.name for side in sides]
    assert names[0] == OURS
    assert len(set(names)) == len(names)
    assert {side.file for side in sides[1:]} == {t.file for t in comparison.targets}
    for side in sides:
        assert Path(side.command[1]).is_file()
        assert str(files[side.file]) in side.command
        assert "--threads=2" in side.command


def test_another_build_than_was_named_is_refused() -> None:
    right: Any = Reported("peer", SAME_FILE, "CPU : AVX2 = 1 | FMA = 1 |")
    wrong: Any = Reported("peer", SAME_FILE, "CPU : AVX2 = 1 | AVX512 = 1 |")
    check(environments.AVX2, right)
    check(environments.NATIVE, wrong)
    with pytest.raises(UsageError, match="not built for AVX2 alone"):
        check(environments.AVX2, wrong)
