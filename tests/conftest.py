from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def model_path() -> Path:
    """The default model's file: OUTRIDER_TEST_MODEL, or fetched into Outrider's cache."""
    if given := os.environ.get("OUTRIDER_TEST_MODEL"):
        return Path(given)
    from outrider import models

    return Path(models.ensure("smollm2-135m-instruct"))
