"""The cascades of examples/cascade, from questions to records.

    python benchmarks/cascades.py --work build/cascades

collects what is missing (some forty minutes of one core; a run that was cut off goes on),
measures every stage alone, trains, evaluates, and writes `benchmarks/records/cascade_*.json`;
`--only NAME` makes one of them. On a busy machine, `--collect-only` first, and the rest in a quiet
minute. SVAMP is read from the directory that OUTRIDER_DATA names, or fetched; gemma3-270m needs
OUTRIDER_ACCEPT_TERMS.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
TIMED = 24


@dataclass(frozen=True)
class Run:
    """A record: a cascade file with some of its settings changed.

    Attributes:
        name: of the record.
        cascade: the file of examples/cascade.
        settings: that are changed.
        collected: whose answers it begins with; None is its own name's.
        limit: questions of each task, at most.
    """

    name: str
    cascade: str
    settings: dict[str, Any] = field(default_factory=dict)
    collected: str | None = None
    limit: int | None = None


RUNS = (
    Run("arithmetic", "arithmetic"),
    Run("arithmetic_tokens", "arithmetic", {"cost": {"ms": 0, "tokens": 1}}, "arithmetic"),
    # Levels that have thousands of different texts, so that many can be held out.
    Run(
        "calibration",
        "arithmetic",
        {
            "predictor": {"holdout": 0.55},
            "tasks": [
                "arithmetic:count=2800,levels=1-5,seed=7",
                "arithmetic:count=1200,level=3,seed=11",
                "arithmetic:count=1800,levels=5-6,seed=11",
            ],
        },
        "arithmetic",
    ),
    Run("word_problems", "word-problems", limit=250),
)


def outrider(*arguments: object) -> str:
    command = [sys.executable, "-m", "outrider", "cascade", *map(str, arguments)]
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "cascades")
    parser.add_argument("--records", type=Path, default=ROOT / "benchmarks" / "records")
    parser.add_argument("--only", choices=[run.name for run in RUNS], help="make one record")
    parser.add_argument("--collect-only", action="store_true", help="measure and write nothing")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    for run in RUNS:
        if arguments.only not in (None, run.name):
            continue
        source = ROOT / "examples" / "cascade" / f"{run.cascade}.yml"
        values = yaml.safe_load(source.read_text(encoding="utf-8")) | run.settings
        file = arguments.work / f"{run.name}.yml"
        file.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
        answers = arguments.work / f"{run.name}.answers.jsonl"
        begun = arguments.work / f"{run.collected}.answers.jsonl"
        if begun.exists() and not answers.exists():
            shutil.copy(begun, answers)
        outrider("collect", file, *([] if run.limit is None else ["--limit", run.limit]))
        if arguments.collect_only:
            continue
        outrider("collect", file, "--limit", 0, "--timing", TIMED)
        outrider("train", file)
        record = arguments.records / f"cascade_{run.name}.json"
        record.write_text(outrider("eval", file, "--json"), encoding="utf-8")


if __name__ == "__main__":
    main()
