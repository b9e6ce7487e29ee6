from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from outrider.engines.native import NativeEngine
from passes import Engines, Oracle
from synthetic import MIXED, write


@pytest.fixture(scope="session")
def synthetic_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with every kind of quantised matrix."""
    path = tmp_path_factory.mktemp("models") / "small.gguf"
    write(path, MIXED)
    return path


@pytest.fixture(scope="session")
def engines(synthetic_path: Path) -> Engines:
    """Engines over the small model, one for each set of arguments, made once."""
    made: dict[tuple[tuple[str, Any], ...], NativeEngine] = {}

    def engine(**options: Any) -> NativeEngine:
        options = {"threads": 1, "cache_bytes": 8 << 20, **options}
        key = tuple(sorted(options.items()))
        if key not in made:
            made[key] = NativeEngine(synthetic_path, **options)
        return made[key]

    return engine


@pytest.fixture(scope="session")
def oracle(engines: Engines) -> Oracle:
    """What every engine over the small model has to say, byte for byte."""
    return Oracle(engines(max_rows=1))


@pytest.fixture(scope="session")
def float_oracle(engines: Engines) -> Oracle:
    """The same for the exact weights in 32-bit floats."""
    return Oracle(engines(max_rows=1, float32=True))


@pytest.fixture
def fresh(synthetic_path: Path) -> Engines:
    """Engines of a test's own, whose cache nobody else has filled."""

    def engine(**options: Any) -> NativeEngine:
        return NativeEngine(synthetic_path, **{"threads": 1, "cache_bytes": 8 << 20, **options})

    return engine
