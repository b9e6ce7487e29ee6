"""`outrider certify` over the default model, as users call it."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from outrider import registry
from outrider.cli.app import app
from outrider.tree import ROOT
from outrider.types import Verdict
from outrider.verify import CoupledVerifier

SPEC_BENCH = Path(
    os.environ.get("OUTRIDER_SPEC_BENCH")
    or Path(__file__).parents[3] / "shared" / "data" / "spec_bench.jsonl"
)


def certify(model_path: Path, *arguments: str) -> Result:
    parts = ("--drafter", "ngram", "--controller", "fixed")
    return CliRunner().invoke(app, ["certify", "-m", str(model_path), *parts, *arguments])


def test_identical_answers_are_certified(model_path: Path) -> None:
    settings = ("--limit", "13", "--max-tokens", "32", "--temperature", "0", "--batch")
    result = certify(model_path, *settings, "--json")
    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    assert values["identical"] is True
    assert values["failures"] == []
    assert values["checked"] >= 13 + values["cancelled"] > 13
    assert values["tokens"] > 13
    assert values["cache_tokens"] > 0
    assert values["prompts"] == {"from": "built in", "count": 13}
    assert values["machine"]["processor"]
    assert datetime.fromisoformat(values["date"]) <= datetime.now(UTC)
    (cell,) = values["cells"]
    assert cell["status"] == "identical"


def test_too_little_is_inconclusive(model_path: Path) -> None:
    result = certify(model_path, "--limit", "1", "--max-tokens", "4", "--temperature", "0")
    assert result.exit_code == 2, result.stderr
    assert "inconclusive" in result.stdout


class Wrong(CoupledVerifier):
    """Accepts the first child, whatever it is."""

    def verify(self, outcome, root, position, tree, sampler, *, mask=None):
        for child in tree.children(ROOT):
            path = [tree.tokens[child]]
            (token,) = outcome.choose([root + 1 + child], [sampler], [position + 1], [path])
            return Verdict((child,), token)
        return super().verify(outcome, root, position, tree, sampler, mask=mask)


def test_a_wrong_verifier_is_shown_where_it_errs(
    model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = registry.entry_points(group="outrider.verifiers")["coupled"]
    points = registry._points("verifiers") | {
        "coupled": type(point)("coupled", f"{__name__}:Wrong", point.group)
    }
    offered = registry._points
    monkeypatch.setattr(
        registry, "_points", lambda group: points if group == "verifiers" else offered(group)
    )
    settings = ("--limit", "1", "--max-tokens", "24", "--temperature", "0")
    shown = certify(model_path, *settings)
    assert shown.exit_code == 1, shown.stderr
    assert "different (1 answers)" in " ".join(shown.stdout.split())
    assert "another token" in shown.stdout
    kept = json.loads(certify(model_path, *settings, "--json").stdout)
    assert kept["identical"] is False
    (failure,) = kept["failures"]
    assert failure["plain"]["logit"] > failure["speculative"]["logit"]
    assert failure["plain_text"] != failure["speculative_text"]


@pytest.mark.skipif(not SPEC_BENCH.exists(), reason="the prompts of Spec-Bench are not here")
def test_a_prompt_of_each_category_of_spec_bench(model_path: Path) -> None:
    settings = ("--prompts", str(SPEC_BENCH), "--limit", "13", "--max-tokens", "32", "--batch")
    result = certify(model_path, *settings, "--json")
    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    assert values["identical"] is True
    assert len(values["cells"]) == 2
