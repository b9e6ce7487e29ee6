"""Runs of the lab over the toy engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lab.toy_model import LETTERS, toy_llm

from outrider.lab import runs
from outrider.lab.experiment import Setup
from outrider.lab.run_folder import RunFolder
from outrider.prompts import Prompt

TEXTS = ("abcabcab", "theQuickBrownFox", "aaaaaaaa", "abcdabcd", "xyxyxyxy", "helloHelloHello")


def toy_setup(prompts: int = 3, **changes: Any) -> Setup:
    values: dict[str, Any] = {
        "model": "toy",
        "prompts": tuple(
            Prompt(i, (TEXTS[i % len(TEXTS)] + LETTERS[i],), "chant" if i % 2 == 0 else "prose")
            for i in range(prompts)
        ),
        "drafters": ("ngram", "recycle"),
        "max_tokens": 12,
        "raw": True,
        "context": 128,
        "quick": True,
    }
    return Setup(**(values | changes))


def toy_run(path: Path, *experiments: str, **changes: Any) -> RunFolder:
    """A run from its beginning to its end."""
    with toy_llm() as llm:
        folder = runs.begin(path, llm, experiments, toy_setup(**changes), {})
        runs.go_on(llm, folder, lambda progress: None)
    return folder


def planned(folder: RunFolder) -> list[str]:
    """The keys of all cells."""
    setup = runs.setup_of(folder)
    return [
        cell.key
        for experiment in runs.load_experiments(folder.description["experiments"])
        for cell in experiment.cells(setup)
    ]


def made(folder: RunFolder) -> list[str]:
    """The keys of what is measured."""
    return [measurement.key for measurement in folder.measurements()]


def timed(
    folder: RunFolder,
    seed: int,
    factors: Mapping[str, float] | None = None,
    *,
    machine: float = 1.0,
    noise: float = 0.05,
) -> None:
    """Give a run made-up times: a prompt's own, times an arm's factor, times noise.

    Args:
        folder: of the run.
        seed: of the noise.
        factors: by the arms' names; others have 1.
        machine: a factor of all times.
        noise: the standard deviation of the logarithm of a time.
    """
    chance = np.random.default_rng(seed)
    path = folder.path / "measurements.jsonl"
    lines = []
    for text in path.read_text().splitlines():
        line = json.loads(text)
        factor = machine * (factors or {}).get(line["arm"], 1.0)
        for sample in line["samples"]:
            own = 100.0 + 10.0 * sample["prompt"]
            sample["usage"]["decode_ms"] = own * factor * np.exp(chance.normal(0.0, noise))
        lines.append(json.dumps(line))
    path.write_text("\n".join(lines) + "\n")
