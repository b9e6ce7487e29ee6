from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from outrider import theory
from outrider.cli.app import app
from outrider.cli.theory import picture
from outrider.tree import EMPTY, ROOT, Tree


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["theory", *arguments])


def run_json(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    assert isinstance(values, dict)
    return values


# ------------------------------------------------------------------------------------ tables


def test_the_tables_are_those_of_the_formulas() -> None:
    values = run_json("--alpha", "0.6,0.9", "--c", "0.1,0.25")

    assert values["num_draft_tokens"] == 64
    assert values["rows_cost"] == {}
    assert [(b["alpha"], b["c"], b["num_draft_tokens"]) for b in values["best"]] == [
        (0.6, 0.1, 3), (0.6, 0.25, 2), (0.9, 0.1, 10), (0.9, 0.25, 6),
    ]  # fmt: skip
    for b in values["best"]:
        assert b["speedup"] == theory.speedup(b["alpha"], b["c"], b["num_draft_tokens"])
    for e in values["expected_tokens"]:
        assert e["tokens"] == theory.expected_tokens(e["alpha"], e["num_draft_tokens"])
    for b in values["break_even"]:
        assert b["alpha"] == theory.break_even(b["c"], b["num_draft_tokens"])
    assert [b["num_draft_tokens"] for b in values["lowest_break_even"]] == [1, 1]
    assert "by_length" not in values


def test_one_alpha_and_one_c_show_every_length(tmp_path: Path) -> None:
    curve = tmp_path / "curve.json"
    curve.write_text(json.dumps({"rows_ms": {"1": 5.0, "2": 6.0, "4": 7.0, "8": 10.0}}))
    v = theory.rows_cost({1: 5.0, 2: 6.0, 4: 7.0, 8: 10.0})

    values = run_json("--alpha", "0.8", "--c", "0.1", "--cost", str(curve))

    assert values["num_draft_tokens"] == 7
    assert values["rows_cost"] == {"1": 1.0, "2": 1.2, "4": 1.4, "8": 2.0}
    assert [row["num_draft_tokens"] for row in values["by_length"]] == [1, 2, 3, 4, 5, 6, 7]
    for row in values["by_length"]:
        k = row["num_draft_tokens"]
        assert row["speedup"] == theory.speedup(0.8, 0.1, k, v)
        assert row["acceptance_rate"] == theory.acceptance_rate(0.8, k)
        assert row["break_even_alpha"] == theory.break_even(0.1, k, v)


def test_what_never_pays_is_said() -> None:
    text = run("--alpha", "0.5", "--c", "0.3", "--cost", "1,3,5").stdout
    assert "At α = 0.5 and c = 0.3, no draft pays.\nAt c = 0.3 none pays" in text
    assert "never" in text

    values = run_json("--c", "0.3", "--cost", "1,3,5")
    assert {b["alpha"] for b in values["break_even"]} == {None}
    assert values["lowest_break_even"] == [{"c": 0.3, "num_draft_tokens": None, "alpha": None}]


def test_wide_tables_come_in_parts() -> None:
    many = ",".join(f"0.{i:02}" for i in range(1, 31))

    text = run("--alpha", many, "--c", many).stdout

    assert max(map(len, text.splitlines())) <= 80
    assert text.count("Best K, and the speed-up with it") == 4
    assert text.count("…") == 1  # that of the formula: nothing is cut off


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--alpha", "1.5"], "alpha has to lie in [0, 1]"),
        (["--alpha", "x"], "--alpha takes numbers"),
        (["--c", "-1"], "c has to be a number of at least 0"),
        (["--c", ""], "--c takes numbers"),
        (["--cost", "1"], "at least one more"),
        (["--cost", "1,-2"], "positive"),
        (["--cost", "nowhere.json"], "neither"),
        (["--num-draft-tokens", "0"], "[1, 256]"),
        (["--num-draft-tokens", "5000"], "[1, 256]"),
        (["--cost", "1,2,3", "--num-draft-tokens", "3"], "a draft of 2 tokens"),
        (["--alpha", "0.5", "tree", "--acceptance", "0.5"], "--alpha stands before `tree`"),
        (["--json", "scaling", "--params", "1B"], "--json stands before `scaling`"),
        (["tree", "--acceptance", "0.8,0.3"], "at most 1"),
        (["tree", "--acceptance", "0.8", "--c", "-1"], "c has to be"),
        (["tree", "--acceptance", "0.8", "--depth", "-1"], "at least 0"),
        (["tree", "--acceptance", "0.8", "--num-draft-tokens", "257"], "[1, 256]"),
        (["acceptance", "--target", "1,2", "--draft", "1"], "one length"),
        (["acceptance", "--target", "1", "--draft", "1", "--temperature", "-1"], "temperature"),
        (["scaling"], "either --flops or --params"),
        (["scaling", "--flops", "1e20", "--params", "1B"], "either --flops or --params"),
        (["scaling", "--flops", "0"], "positive"),
        (["scaling", "--params", "many"], "--params takes a count"),
    ],
)
def test_what_cannot_be_honoured_is_one_line(arguments: list[str], message: str) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line


# ------------------------------------------------------------------------------- sub-commands


def test_tree_is_the_best_one_and_beside_it_the_best_chain() -> None:
    ask = ["tree", "--acceptance", "0.6,0.2", "--num-draft-tokens", "7", "--c", "0.05"]
    values = run_json(*ask, "--depth", "3")

    best = theory.best_tree([0.6, 0.2], nodes=7, depth=3, c=0.05)
    assert tuple(values["parents"]) == best.tree.parents
    assert tuple(values["ranks"]) == best.tree.tokens
    assert values["levels"] == 3
    assert (values["expected_tokens"], values["speedup"]) == (best.expected_tokens, best.speedup)
    assert values["chain"]["num_draft_tokens"] == 3

    text = run(*ask, "--depth", "3").stdout
    assert f"parents        {' '.join(map(str, best.tree.parents))}" in text
    assert text.startswith("○─●")


def test_a_tree_is_drawn_with_first_children_in_the_line() -> None:
    tree = Tree((0, 0, 1, 0, 1, 2), (ROOT, 0, 0, 2, ROOT, ROOT), (0.3,) * 6)

    assert picture(tree) == ["○─●─●", "│ └─●─●", "├─●", "└─●"]
    assert picture(EMPTY) == ["○"]


def test_a_tree_too_deep_to_draw_says_so() -> None:
    text = run("tree", "--acceptance", "0.9", "--num-draft-tokens", "60").stdout

    assert "A picture of 60 levels needs 121 columns" in text
    assert max(map(len, text.splitlines())) <= 80


def test_where_nothing_pays_the_tree_is_empty() -> None:
    result = run("tree", "--acceptance", "0.1", "--c", "0.2")

    assert result.exit_code == 0
    assert "parents        none" in result.stdout


def test_acceptance_has_a_curve_for_each_way_of_drafting() -> None:
    ask = ["acceptance", "--target", "2,1", "--draft", "1,0.5", "--temperature", "0,1"]
    values = run_json(*ask)

    curves = theory.acceptance_by_temperature([2, 1], [1, 0.5], [0, 1])
    assert values["temperatures"] == [0, 1]
    for name in ("rejection", "coupled", "independent", "greedy"):
        assert values[name] == getattr(curves, name).tolist()
    assert "greedy draft" in run(*ask).stdout


def test_scaling_says_what_is_often_quoted_and_why_not() -> None:
    values = run_json("scaling", "--flops", "5.88e23")
    assert values["params"] == pytest.approx(70e9)
    assert values["tokens"] == pytest.approx(1.4e12)
    assert values["quoted_params"] == pytest.approx(38.3e9, rel=1e-2)
    assert run_json("scaling", "--params", "70B")["flops"] == pytest.approx(5.88e23)

    text = " ".join(run("scaling", "--params", "70B").stdout.split())
    assert "N = 0.05·√C, 38.3B here. It disagrees" in text
    assert "0.0913·√C" in text
    assert "67 tokens a parameter" in text
