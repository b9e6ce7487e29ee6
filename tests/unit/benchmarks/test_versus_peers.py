"""Comparisons with peers, without them: what is asked, and what is made of the answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import environments
import pytest
from copies import describe, files

from comparisons import COMPARISONS, SAME_FILE, TWIN
from contestants import COLD, LEARNING, MODES, OURS, Interpreters, contestants
from outrider.errors import UsageError
from outrider.models.gguf import GgufFile
from outrider.prompts import Prompt
from report import equal_share, line, reached, summarise, table, targets_table
from sides import Measurement
from synthetic import Shape, write
from versus_peers import ask, check, chosen, fill

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


def test_speculation_is_reported_over_all_prompts() -> None:
    comparison = COMPARISONS["speculation-transformers"]
    names = {OURS: 2.0, LEARNING: 1.0, COLD: 1.25, "slow": 20.0, "fast": 10.0}
    sides: list[Any] = [Reported(name, SAME_FILE) for name in names]
    straight, loop = tuple(range(11)), (7,) * 21
    found = [
        Measurement(name, prompt, "kind", 0, 4, tokens, 1.0, seconds * weight)
        for name, seconds in names.items()
        for prompt, (tokens, weight) in enumerate([(straight, 1), (loop, 4)])
    ]

    summary = summarise(comparison, sides, found)

    (target,) = reached(comparison, summary)
    assert (target["peer"], target["ratio"], target["stretch"]) == ("fast", pytest.approx(10), 20.0)
    assert target["without_looping"]["ratio"] == pytest.approx(10.0)
    assert target["without_looping"]["prompts"] == 1
    # 10 tokens in 1 second and 20 in 4.
    assert summary["sides"][LEARNING]["decode_tokens_per_second"] == pytest.approx(6.0)
    assert summary["sides"][LEARNING]["end_to_end_tokens_per_second"] == pytest.approx(32 / 7)
    assert summary["sides"][LEARNING]["looping_share"] == 0.5
    assert summary["versus_own_plain"][COLD]["decode"]["ratio"] == pytest.approx(1.6)
    assert summary["categories"]["kind"]["slow"] == pytest.approx(0.3)
    assert summary["equal_until_first_difference"][LEARNING] == 1.0
    shown = table(comparison, summary)
    assert "50%" in shown
    assert f"{LEARNING}: 10.00 times" in shown


def test_an_answer_that_ends_early_agrees_only_so_far() -> None:
    found = [Measurement(OURS, 0, None, 0, 4, (1, 2, 3, 4), 1.0, 1.0)]
    found += [Measurement("peer", 0, None, 0, 4, (1, 2), 1.0, 1.0)]
    assert equal_share(found, "peer") == 0.5


@pytest.mark.parametrize("name", COMPARISONS)
def test_every_file_with_a_target_has_a_side_of_the_peers(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for environment in ("llamacpp", "llama_server", "xllamacpp", "openvino", "transformers"):
        monkeypatch.setattr(environments, environment, lambda *_: Path("python"))
    comparison = COMPARISONS[name]
    files = {target.file: Path(target.file) for target in comparison.targets}
    sides = contestants(comparison, files, 2, Interpreters())
    names = [side.name for side in sides]
    ours = [OURS, LEARNING, COLD] if comparison.scenario.speculation else [OURS]
    assert names[: len(ours)] == ours
    assert len(set(names)) == len(names)
    assert {side.file for side in sides[len(ours) :]} == {t.file for t in comparison.targets}
    for side in sides:
        assert Path(side.command[1]).is_file()
        assert str(files[side.file]) in side.command
        assert "--threads=2" in side.command


def test_sides_are_chosen_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "xllamacpp", lambda: Path("python"))
    given = Interpreters(native=Path("python"), server=Path("llama-server"))
    files = {SAME_FILE: Path("a"), TWIN: Path("b")}
    sides = contestants(COMPARISONS["speculation-llamacpp"], files, 2, given)
    assert chosen(sides, []) == sides
    assert {side.name.split(", ")[1] for side in sides[3:] if "llama.cpp" not in side.name} == set(
        MODES
    )
    assert [side.name for side in chosen(sides, ["llama-server, ngram-mod"])] == [
        OURS,
        LEARNING,
        COLD,
        "llama-server, ngram-mod",
    ]
    with pytest.raises(UsageError, match="No side is called 'vllm'"):
        chosen(sides, ["vllm"])


def test_another_build_than_was_named_is_refused() -> None:
    right: Any = Reported("peer", SAME_FILE, "CPU : AVX2 = 1 | FMA = 1 |")
    wrong: Any = Reported("peer", SAME_FILE, "CPU : AVX2 = 1 | AVX512 = 1 |")
    check(environments.AVX2, right)
    check(environments.NATIVE, wrong)
    with pytest.raises(UsageError, match="not built for AVX2 alone"):
        check(environments.AVX2, wrong)


def test_a_file_is_described_by_its_types(tmp_path: Path) -> None:
    write(tmp_path / "model.gguf", Shape(layers=1))
    values = describe(tmp_path / "model.gguf")
    assert values["file"] == "model.gguf"
    assert values["types"] == {"Q4_1": 8, "F32": 3}


def test_a_copy_is_made_once(tmp_path: Path) -> None:
    source, folder = tmp_path / "model.gguf", tmp_path / "copies"
    folder.mkdir()
    write(source)
    made = files(source, [SAME_FILE, TWIN], folder)
    assert made == {SAME_FILE: source, TWIN: folder / "model.Q4_0.gguf"}
    assert "Q4_0" in describe(made[TWIN])["types"]
    before = made[TWIN].stat().st_mtime_ns
    assert files(source, [SAME_FILE, TWIN], folder)[TWIN].stat().st_mtime_ns == before


def test_a_copy_in_another_format_is_described(tmp_path: Path) -> None:
    assert describe(tmp_path)["file"] == tmp_path.name
