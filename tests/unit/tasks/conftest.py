"""Public sets at hand and on a hub, both with rows of our own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from tasks.sets import AT_HAND, ELSEWHERE, ON_THE_HUB

from outrider.tasks import public


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with a file of each set."""
    for name, rows in AT_HAND.items():
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    return tmp_path


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """A hub that holds rows of our own, and what was asked of it."""
    monkeypatch.delenv(public.DATA_VARIABLE, raising=False)
    asked: list[tuple[Any, ...]] = []

    def load_dataset(repository: str, subset: str | None, *, split: str) -> list[dict[str, Any]]:
        asked.append((repository, subset, split))
        if repository in ELSEWHERE:
            return ELSEWHERE[repository][split]
        name = public.name_of(repository, subset)
        if name is None:
            raise FileNotFoundError(f"{repository} does not exist.\nDetails follow.")
        return ON_THE_HUB[name]

    def get_dataset_split_names(repository: str, subset: str | None) -> list[str]:
        if repository not in ELSEWHERE:
            raise FileNotFoundError(f"{repository} does not exist.\nDetails follow.")
        return list(ELSEWHERE[repository])

    module = ModuleType("datasets")
    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    module.get_dataset_split_names = get_dataset_split_names  # type: ignore[attr-defined]
    module.__spec__ = SimpleNamespace(name="datasets")  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "datasets", module)
    return asked
