"""The page that teaches how to write a drafter: its package, its tests, and what it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from outrider import registry
from outrider.cli.app import app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/guides/write-a-drafter.md").read_text(encoding="utf-8")
TERMS = "Acme Cloud Storage Gateway\nAcme Cloud Compute\nquarterly capacity reservation\n\n"
PROMPT = (
    "Copy this list of products exactly, three times:\n- Acme Cloud Storage Gateway\n"
    "- Acme Cloud Compute\n- quarterly capacity reservation\n"
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's package as an installer leaves it: its module, and its entry points."""
    drafter, factory, tests = blocks("python")
    (tmp_path / "outrider_glossary.py").write_text(f"{drafter}\n\n{factory}")
    (tmp_path / "test_glossary.py").write_text(tests)
    (tmp_path / "terms.txt").write_text(TERMS)
    (project,) = blocks("toml")
    facts = tomllib.loads(project)["project"]
    about = tmp_path / f"outrider_glossary-{facts['version']}.dist-info"
    about.mkdir()
    lines = [f"[{group}]\n" for group in facts["entry-points"]]
    for group in facts["entry-points"].values():
        lines += [f"{name} = {target}\n" for name, target in group.items()]
    (about / "entry_points.txt").write_text("".join(lines))
    (about / "METADATA").write_text(f"Name: {facts['name']}\nVersion: {facts['version']}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._points.cache_clear()
    yield tmp_path
    sys.modules.pop("outrider_glossary", None)
    registry._points.cache_clear()


def test_the_drafter_has_sixty_lines() -> None:
    assert "sixty lines" in PAGE
    assert len(blocks("python")[0].splitlines()) == 60


def test_the_page_s_tests_pass(package: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_glossary.py"],
        cwd=package,
        env=os.environ | {"PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    passed = re.search(r"(\d+) passed", result.stdout)
    assert passed is not None
    assert int(passed[1]) >= 12
    assert "skipped" not in result.stdout


@pytest.mark.parametrize("drafter", ["glossary:{}", "mixed:sources=ngram+glossary:{}"])
def test_it_is_found_by_name_and_drafts(package: Path, model_path: Path, drafter: str) -> None:
    name = drafter.format(f"path={package / 'terms.txt'}")
    ask = ["generate", "-m", str(model_path), "--context", "512", "--json", "--max-tokens", "60"]
    plain, drafted = (
        CliRunner().invoke(app, [*ask, *extra, PROMPT])
        for extra in (
            ("--no-speculation",),
            ("--drafter", name, "--controller", "fixed", "--draft-debug"),
        )
    )
    assert drafted.exit_code == plain.exit_code == 0, drafted.stderr
    (expected,), (found,) = (
        json.loads(result.stdout)["completions"][0]["choices"] for result in (plain, drafted)
    )
    assert found["tokens"] == expected["tokens"]
    assert found["usage"]["accepted_tokens"] > 5
    assert "draft: accepted " in drafted.stderr


def test_what_it_learns_makes_it_honest(package: Path) -> None:
    from outrider_glossary import GlossaryDrafter

    from outrider.drafters.base import DraftEntry, Observation
    from outrider.engines.toy import ToyEngine
    from outrider.sampling import Sampler
    from outrider.testing import GivenPass
    from outrider.tree import EMPTY
    from outrider.types import Sampling, Verdict

    target = ToyEngine()
    drafter = GlossaryDrafter(target, [[1, 2, 3, 4], [1, 2, 3, 5, 6], [1, 2, 9]])
    sampler = Sampler(Sampling(), vocab_size=target.vocab_size, seed=0)
    entry = DraftEntry(0, [7, 1, 2], 3, sampler, max_nodes=8, max_depth=8)
    (tree,) = drafter.draft([entry])
    assert tree.tokens == (3, 9, 4, 5, 6)
    assert tree.parents == (-1, -1, 0, 0, 3)
    assert tree.probabilities == pytest.approx((1 / 3, 1 / 6, 1 / 4, 1 / 4, 1 / 2))
    for said, right in ((3, 1), (8, 0), (9, 1)):
        entry.tokens[:] = [1, 2, said]
        before = drafter.right[2]
        drafter.observe([Observation(entry, EMPTY, Verdict((), said))], GivenPass(None))
        assert drafter.right[2] - before == right
    assert drafter.judged[2] == 3
    entry.tokens[:] = [1, 2]
    (tree,) = drafter.draft([entry])
    assert tree.probabilities[:2] == pytest.approx((3 / 5 * 2 / 3, 3 / 5 / 3))
    drafter.reset()
    assert drafter.draft([entry])[0].probabilities[:2] == pytest.approx((1 / 3, 1 / 6))


def test_a_glossary_that_is_not_there_is_an_error(package: Path, model_path: Path) -> None:
    ask = ["generate", "-m", str(model_path), "--drafter", "glossary:path=absent.txt", "Hi"]
    result = CliRunner().invoke(app, ask)
    assert result.exit_code == 2
    assert "The glossary absent.txt cannot be read: No such file" in result.stderr
