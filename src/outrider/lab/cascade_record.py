"""An evaluation of a cascade as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from outrider.lab import environment
from outrider.lab.cascade_figures import Evaluation


def record(evaluation: Evaluation) -> dict[str, Any]:
    """Everything that the report shows, with the machine and the versions."""
    values = {
        "machine": environment.machine(),
        "versions": environment.versions(),
        **asdict(evaluation),
    }
    found: dict[str, Any] = _plain(values)
    return found


def _plain(value: Any) -> Any:
    """The value as JSON takes it: infinity is a text, and five figures are enough."""
    if isinstance(value, dict):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return "infinity" if math.isinf(value) else float(f"{value:.5g}")
    return value


def _key(key: Any) -> str:
    if isinstance(key, float):
        return "infinity" if math.isinf(key) else f"{key:.5g}"
    return str(key)
