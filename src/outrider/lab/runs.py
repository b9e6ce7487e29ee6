"""Running experiments: what is planned, measured, kept, and gone on with after an interruption."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from outrider import registry
from outrider.errors import UsageError
from outrider.lab.environment import machine, versions
from outrider.lab.experiment import Arm, Bench, Cell, Experiment, Measured, Setup, arms_by_name
from outrider.lab.records import Measurement
from outrider.lab.results import Results
from outrider.lab.run_folder import Appender, RunFolder
from outrider.lab.variants import Variants, scratch
from outrider.llm import LLM, SPECULATION_VARIABLE

FORMAT: Final = 1
"""Of run folders; another one is refused."""

ALLOWED_SHARE: Final = 0.01
"""Of the harness, beside what it measures."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        done: cells that are measured, those of earlier attempts included.
        total: all cells.
        left_ms: what the others will take, by what those like them took; None where nothing is
            known.
        what: the experiment and the arm that were measured last.
    """

    done: int
    total: int
    left_ms: float | None
    what: str


Listener = Callable[[Progress], None]


def all_experiments() -> list[str]:
    """The names of those that `all` stands for: of the others each has to be named."""
    return [
        name
        for name in registry.names("experiments")
        if not registry.load("experiments", name).on_request
    ]


def load_experiments(names: Sequence[str]) -> list[Experiment]:
    """Experiments by their registered names, options behind a colon.

    Raises:
        UsageError: there is none of that name, one is named twice, or there are no names.
    """
    if not names:
        known = ", ".join(registry.names("experiments"))
        raise UsageError(f"Name an experiment; known: {known}.")
    found = [registry.load("experiments", name)() for name in names]
    alone = [experiment.name for experiment in found]
    for name in alone:
        if alone.count(name) > 1:
            raise UsageError(
                f"The experiment {name!r} is named twice; make runs of their own of the two."
            )
    return found


def begin(
    path: Path, llm: LLM, names: Sequence[str], setup: Setup, given: Mapping[str, Any]
) -> RunFolder:
    """Make the folder of a run; nothing is measured yet.

    Args:
        path: of the folder.
        llm: what will be measured.
        names: of the experiments.
        setup: what they are run on.
        given: the configuration as it was asked for.

    Raises:
        UsageError: an experiment cannot be run so, speculation is switched off, or the folder.
    """
    if not llm.speculation:
        raise UsageError(
            f"Speculation is switched off, so experiments cannot measure it; unset "
            f"{SPECULATION_VARIABLE}."
        )
    planned = {}
    for experiment in load_experiments(names):
        arms_by_name(experiment, setup)
        planned[experiment.name] = len(experiment.cells(setup))
    resolved = {k: v for k, v in asdict(setup).items() if k != "prompts"}
    description = {
        "format": FORMAT,
        "experiments": list(names),
        "setup": resolved,
        "cells": planned,
        "given": dict(given),
        "model_name": llm.model.name,
        "fingerprint": llm.model.fingerprint,
        **llm.model.facts,
        "machine": machine(),
        "versions": versions(),
        "begun": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }
    return RunFolder.create(path, description, setup.prompts)


def setup_of(folder: RunFolder) -> Setup:
    """What the run in a folder is run on.

    Raises:
        UsageError: the folder is of another version, or its prompts cannot be read.
    """
    if folder.description.get("format") != FORMAT:
        raise UsageError(
            f"The run in {folder.path} has the format {folder.description.get('format')!r}, which "
            "this version does not read."
        )
    values = dict(folder.description["setup"])
    for name in ("drafters", "formats"):
        values[name] = tuple(values.get(name, ()))
    return Setup(prompts=folder.prompts(), **values)


def go_on(llm: LLM, folder: RunFolder, listener: Listener) -> None:
    """Measure what is planned and not measured yet.

    Args:
        llm: the model that the run was begun with.
        folder: of the run.
        listener: told after every cell how far it is.

    Raises:
        UsageError: the model is another one, or another process is at it.
        OutriderError: a cell cannot be measured; what is measured is kept.
    """
    if folder.description["fingerprint"] != llm.model.fingerprint:
        raise UsageError(
            f"The run in {folder.path} was begun with {folder.description['model_name']}, and "
            f"{llm.model.name} is another model file."
        )
    setup = setup_of(folder)
    with folder.alone(), folder.appending() as out, scratch(folder.path) as directory:
        before = folder.measurements()
        known = {measurement.key for measurement in before}
        plans = [
            (experiment, arms_by_name(experiment, setup), experiment.cells(setup))
            for experiment in load_experiments(folder.description["experiments"])
        ]
        estimate = Estimate([cell for _, _, cells in plans for cell in cells], before)
        for experiment, arms, cells in plans:
            left = [cell for cell in cells if cell.key not in known]
            with Variants(llm, directory) as variants, closing(experiment):
                bench = Bench(llm, setup, variants)
                experiment.warm_up(bench, [arms[name] for name in _arms_of(left)])
                measure = partial(_measure, experiment, bench, arms)
                measure_cells(left, measure, out, lambda m: listener(estimate.after(m)))


def _measure(experiment: Experiment, bench: Bench, arms: Mapping[str, Arm], cell: Cell) -> Measured:
    return experiment.measure(bench, arms[cell.arm], cell)


def measure_cells(
    cells: Iterable[Cell],
    measure: Callable[[Cell], Measured],
    out: Appender,
    listener: Callable[[Measurement], object],
) -> None:
    """Measure cells one after another; each is kept before the next begins."""
    for cell in cells:
        start = time.perf_counter()
        found = measure(cell)
        measurement = Measurement(
            key=cell.key,
            experiment=cell.experiment,
            arm=cell.arm,
            group=cell.group,
            repeat=cell.repeat,
            ms=(time.perf_counter() - start) * 1000,
            samples=found.samples,
            values=found.values,
        )
        out.append(measurement)
        listener(measurement)


def results_of(folder: RunFolder) -> dict[str, Results]:
    """The measurements of each experiment of which there are any.

    Raises:
        UsageError: the folder cannot be read.
    """
    setup = setup_of(folder)
    found: defaultdict[str, list[Measurement]] = defaultdict(list)
    for measurement in folder.measurements():
        found[measurement.experiment].append(measurement)
    return {name: Results(setup, each) for name, each in found.items()}


def compared(experiment: Experiment, results: Results) -> Results | None:
    """What all arms of an experiment were measured on; None where that is nothing to compare.

    Of answers at least one of each arm has to have two tokens, or there is no speed.

    Raises:
        UsageError: the setup has not what the experiment needs.
    """
    arms = arms_by_name(experiment, results.setup)
    paired = results.paired(arms)
    if all(any(_counts(m) for m in paired.of(arm)) for arm in arms):
        return paired
    return None


def harness_share(measurements: Sequence[Measurement]) -> float:
    """What the harness takes beside what it measures, as a share of that.

    It is timed empty: the same cells go through the same loop once more, with what was measured of
    each handed back at once instead of being measured.

    Args:
        measurements: of a run, at least one.
    """
    found = {m.key: Measured(samples=m.samples, values=m.values) for m in measurements}
    cells = [
        Cell(experiment=m.experiment, arm=m.arm, group=m.group, repeat=m.repeat)
        for m in measurements
    ]
    estimate = Estimate(cells, [])
    with tempfile.TemporaryFile() as file:
        start = time.perf_counter()
        measure_cells(cells, lambda cell: found[cell.key], Appender(file), estimate.after)
        taken = (time.perf_counter() - start) * 1000
    return taken / sum(m.ms for m in measurements)


class Estimate:
    """How far a run is, and what is left of it by what was seen.

    Args:
        cells: all that are planned.
        before: what earlier attempts measured.
    """

    def __init__(self, cells: Sequence[Cell], before: Sequence[Measurement]) -> None:
        self._total = len(cells)
        self._done = 0
        self._left: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._seen: defaultdict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
        for cell in cells:
            self._left[cell.experiment, cell.arm] += 1
        for measurement in before:
            self.after(measurement)

    def after(self, measurement: Measurement) -> Progress:
        """Where the run is with one more cell measured."""
        key = (measurement.experiment, measurement.arm)
        self._done += 1
        self._left[key] -= 1
        self._seen[key][0] += measurement.ms
        self._seen[key][1] += 1
        return Progress(self._done, self._total, self._left_ms(), " ".join(key))

    def _left_ms(self) -> float:
        """Cells take as long as those of their arm did, or where there were none, as all did."""
        ms, count = (sum(seen[i] for seen in self._seen.values()) for i in (0, 1))
        return sum(
            left * (self._seen[key][0] / self._seen[key][1] if key in self._seen else ms / count)
            for key, left in self._left.items()
        )


def _counts(measurement: Measurement) -> bool:
    """Whether it measured anything: a speed, or whatever else there is to measure."""
    return bool(measurement.values) or any(s.decode[1] for s in measurement.samples)


def _arms_of(cells: Iterable[Cell]) -> list[str]:
    return list(dict.fromkeys(cell.arm for cell in cells))
