"""A measurement as a line of JSON, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from outrider.lab.contest import Sample
from outrider.types import Usage

_OWN = tuple(f.name for f in fields(Sample) if f.name not in ("usage", "passes"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What was measured of one cell.

    Attributes:
        key: of its cell.
        experiment: that planned it.
        arm: one value of what varies.
        group: of prompts.
        repeat: from 0.
        ms: that measuring took.
        samples: the answers.
        values: whatever else was measured.
    """

    key: str
    experiment: str
    arm: str
    group: int
    repeat: int
    ms: float
    samples: tuple[Sample, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """One line of JSON, with its end."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "samples"}
        values["samples"] = [_sample_record(sample) for sample in self.samples]
        return json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n"

    @classmethod
    def parse(cls, line: str) -> Self:
        """A measurement of its line.

        Raises:
            ValueError: it is none.
        """
        try:
            values = json.loads(line)
            samples = tuple(_sample(record) for record in values.pop("samples"))
            return cls(samples=samples, **values)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(str(error)) from error


def _sample_record(sample: Sample) -> dict[str, Any]:
    return {
        **{name: getattr(sample, name) for name in _OWN},
        "usage": asdict(sample.usage),
        # Microseconds tell more than the clock does.
        "passes": {
            str(rows): [round(ms, 3) for ms in each] for rows, each in sample.passes.items()
        },
    }


def _sample(record: Mapping[str, Any]) -> Sample:
    values = dict(record)
    usage, passes = Usage(**values.pop("usage")), values.pop("passes")
    for name in ("tokens", "prompt_tokens"):
        values[name] = tuple(values[name])
    return Sample(usage=usage, passes={int(rows): each for rows, each in passes.items()}, **values)
