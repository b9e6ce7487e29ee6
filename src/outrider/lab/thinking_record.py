"""The benchmark of thinking as files: one JSON object at the end, a line an answer until then."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final, get_args

from outrider.errors import UsageError
from outrider.lab.environment import machine, versions
from outrider.lab.statistics import LEVEL, Interval
from outrider.lab.thinking_bench import METRICS, Answer, Arm, compare, figures, of_arm
from outrider.tasks import Task

DIRECTORY: Final = Path("benchmark_results")

ARMS: Final[tuple[Arm, ...]] = get_args(Arm)


def default_output(now: datetime) -> Path:
    """Where a benchmark goes whose user names no file."""
    return DIRECTORY / f"speedup_benchmark_{now:%Y%m%d_%H%M%S}.json"


def sidecar(output: Path) -> Path:
    """Where answers go as they are made, a line each, until the benchmark is whole."""
    return output.with_name(output.name + ".partial.jsonl")


def fingerprint(task: Task) -> str:
    """Tells problems apart: a hash of what is asked, and of the known answers."""
    asked = [[task.prompt(problem), problem.answer] for problem in task.problems]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def record(
    config: Mapping[str, Any], answers: Sequence[Answer], timestamp: str, notes: Sequence[str] = ()
) -> dict[str, Any]:
    """One object, as users of the published benchmark know it, and more.

    Args:
        config: what was measured.
        answers: of every arm.
        timestamp: of the end.
        notes: what was not as asked.
    """
    found = compare(answers)
    comparison: dict[str, Any] | None = None
    if found is not None:
        comparison = {
            "speedup": found.speedup,
            "throughput_improvement": found.throughput_improvement,
            "large_model_reduction": found.large_model_reduction,
            **_ends("speedup", found.speedup_interval),
            **_ends("pace", found.pace_interval),
            "accuracy_difference": found.accuracy_difference.value,
            **_ends("accuracy_difference", found.accuracy_difference),
            "level": LEVEL,
            "same_model": config["target_model"] == config["speculative_model"],
        }
    return {
        "timestamp": timestamp,
        "config": dict(config),
        **{arm: _arm(answers, arm) for arm in ARMS},
        "comparison": comparison,
        "notes": list(notes),
        "machine": machine(),
        "versions": versions(),
    }


def write(output: Path, values: Mapping[str, Any]) -> None:
    """Write the object, and let the lines go that led to it."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    sidecar(output).unlink(missing_ok=True)


class Journal:
    """Answers that are there already, and where further ones go.

    Args:
        output: where the benchmark is to go.
        config: what is to be measured.
        arms: that are to be measured.

    Raises:
        UsageError: what is there was measured with something else, or is whole already.
    """

    def __init__(self, output: Path, config: Mapping[str, Any], arms: Sequence[Arm]) -> None:
        self._path = sidecar(output)
        self._config = dict(config)
        self.answers: list[Answer] = []
        self.resumed = 0
        if output.exists():
            values = _read_json(output)
            self._check(output, values.get("config"))
            self.answers = [a for arm in ARMS for a in _answers(output, values.get(arm), arm)]
            for arm in arms:
                if of_arm(self.answers, arm):
                    raise UsageError(f"{output} holds the arm {arm} already; name another file.")
        if self._path.exists():
            lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True)
            # A line that a cut-off run left unfinished is no answer.
            whole = [json.loads(line) for line in lines if line.endswith("\n")]
            if whole:
                self._check(self._path, whole[0].get("config"))
                resumed = [Answer(**values) for values in whole[1:]]
                self.answers += resumed
                self.resumed = len(resumed)
            self._path.write_text("".join(line for line in lines if line.endswith("\n")))
        if not self._path.exists() or not self._path.stat().st_size:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._append({"config": self._config})

    def add(self, answer: Answer) -> None:
        """Keep an answer, on disk too."""
        self.answers.append(answer)
        self._append(asdict(answer))

    def _append(self, values: Mapping[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values, ensure_ascii=False) + "\n")

    def _check(self, path: Path, config: Any) -> None:
        there = config if isinstance(config, dict) else {}
        # What was measured went through JSON, in which there are no tuples.
        here = json.loads(json.dumps(self._config))
        different = [key for key in {**here, **there} if here.get(key) != there.get(key)]
        if different:
            what = "; ".join(
                f"{key} was {there.get(key)!r} and is {here.get(key)!r}" for key in different[:3]
            )
            raise UsageError(
                f"{path} was measured with other settings ({what}); ask for the same, or name "
                "another file."
            )


def _arm(answers: Sequence[Answer], arm: Arm) -> dict[str, Any] | None:
    """Every answer, a column a counter, and the statistics of every metric."""
    found = of_arm(answers, arm)
    if not found:
        return None
    columns = {
        item.name: [getattr(a, item.name) for a in found]
        for item in fields(Answer)
        if item.name != "arm"
    }
    derived = {
        name: [metric(a) for a in found] for name, metric in METRICS.items() if name not in columns
    }
    return {"results": {**columns, **derived}, "statistics": figures(answers, arm)}


def _answers(path: Path, values: Any, arm: Arm) -> list[Answer]:
    """The answers of an arm that was written before."""
    if values is None:
        return []
    try:
        columns = values["results"]
        names = [item.name for item in fields(Answer) if item.name != "arm"]
        rows = zip(*(columns[name] for name in names), strict=True)
        return [Answer(arm=arm, **dict(zip(names, row, strict=True))) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is no benchmark of thinking; name another file.") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no benchmark of thinking; name another file.") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path} is no benchmark of thinking; name another file.")
    return values


def _ends(name: str, interval: Interval | None) -> dict[str, float | None]:
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return {f"{name}_low": low, f"{name}_high": high}
