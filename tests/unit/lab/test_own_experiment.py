"""The guide's experiment is found, run and drawn like those that come with Outrider."""

from __future__ import annotations

import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest
from lab.toy_runs import made, planned, toy_run

from outrider import registry
from outrider.lab import report

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "lab.md"


def test_the_guide_s_experiment_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = GUIDE.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    module = ModuleType("my_package.branches")
    exec(code, module.__dict__)
    monkeypatch.setitem(sys.modules, "my_package", ModuleType("my_package"))
    monkeypatch.setitem(sys.modules, "my_package.branches", module)
    name, value = re.search(r"^(\w+) = \"(my_package\..+)\"$", text, re.MULTILINE).groups()
    points = {name: EntryPoint(name, value, "outrider.experiments")}
    found = registry._points
    monkeypatch.setattr(
        registry, "_points", lambda group: points if group == "experiments" else found(group)
    )

    folder = toy_run(tmp_path / "run", "branches")
    report.write(folder)

    assert made(folder) == planned(folder)
    assert len(made(folder)) == 3 * 5
    assert (tmp_path / "run" / "plots" / "branches.svg").is_file()
    assert "is best." in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_the_guide_names_every_experiment() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)

    assert tuple(sorted(rows)) == registry.names("experiments")
