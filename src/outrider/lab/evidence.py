"""What runs that are told together have measured: of one model, on one machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from outrider.errors import UsageError
from outrider.lab.experiment import Experiment
from outrider.lab.results import Results
from outrider.lab.run_folder import RunFolder
from outrider.lab.runs import compared, load_experiments, results_of

SAME: Final[Mapping[str, Sequence[Sequence[str]]]] = {
    "models": (("fingerprint",),),
    "machines": (("machine", "processor"), ("machine", "logical_cores"), ("machine", "system")),
    "numbers of threads": (("threads",),),
    "kernels": (("kernel",),),
}
"""What has to be alike in runs that are told together: where a run's description says it."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """An experiment of a run.

    Attributes:
        run: the run's name among those that are told together.
        experiment: what was asked.
        results: all of its measurements.
        paired: those that all arms were measured on; None where there is nothing to compare yet.
        missing: cells that are planned and not measured.
    """

    run: str
    experiment: Experiment
    results: Results
    paired: Results | None
    missing: int

    @property
    def answers(self) -> Mapping[str, str]:
        """What it answers, by the keys of the course's questions."""
        return {} if self.paired is None else self.experiment.answers(self.paired)

    @property
    def advice(self) -> Sequence[str]:
        """What to do, by its experiment."""
        return () if self.paired is None else self.experiment.advice(self.paired)


def gather(folders: Sequence[RunFolder]) -> list[Evidence]:
    """What was measured in runs, run by run, each experiment of which there is anything.

    Raises:
        UsageError: the runs cannot be told together, nothing is measured in one, or one cannot be
            read.
    """
    check_alike(folders)
    found = []
    for name, folder in zip(names(folders), folders, strict=True):
        results = results_of(folder)
        if not results:
            raise UsageError(
                f"Nothing is measured in {folder.path} yet; `outrider lab retry {folder.path}` "
                "does it."
            )
        for experiment in load_experiments(folder.description["experiments"]):
            own = results.get(experiment.name)
            if own is not None:
                planned = folder.description["cells"][experiment.name]
                found.append(
                    Evidence(
                        run=name,
                        experiment=experiment,
                        results=own,
                        paired=compared(experiment, own),
                        missing=planned - len(own.measurements),
                    )
                )
    return found


def check_alike(folders: Sequence[RunFolder]) -> None:
    """Raise for runs that must not be mixed.

    Raises:
        UsageError: a run is named twice, or two are of different models, machines, numbers of
            threads or kernels.
    """
    paths = [folder.path.resolve() for folder in folders]
    for folder, path in zip(folders, paths, strict=True):
        if paths.count(path) > 1:
            raise UsageError(f"The run in {folder.path} is named twice; name it once.")
    for first, other in pairwise(folders):
        for what, keys in SAME.items():
            ours, theirs = (_said(each.description, keys) for each in (first, other))
            if ours != theirs:
                if what == "models":
                    ours, theirs = (
                        f"{each.description['model_name']} ({each.description['fingerprint']})"
                        for each in (first, other)
                    )
                raise UsageError(
                    f"The runs in {first.path} and {other.path} are of different {what}: {ours} "
                    f"and {theirs}. A report is of one model on one machine; write one for each."
                )


def names(folders: Sequence[RunFolder]) -> list[str]:
    """What runs are called: by their folders, numbered where two of those are called alike."""
    found = [folder.path.resolve().name for folder in folders]
    return [
        name if found.count(name) == 1 else f"{name}-{number}"
        for number, name in enumerate(found, start=1)
    ]


def _said(description: Mapping[str, Any], keys: Sequence[Sequence[str]]) -> str:
    """The values at some places of a description, for people."""
    found = []
    for key in keys:
        value: Any = description
        for part in key:
            value = value.get(part, "unknown")
        found.append(str(value))
    return ", ".join(found)
