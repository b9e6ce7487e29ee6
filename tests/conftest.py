from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("outrider", deadline=None)  # no test measures time
settings.load_profile("outrider")


@pytest.fixture(scope="session")
def model_path() -> Path:
    """The default model's file: OUTRIDER_TEST_MODEL, or fetched into Outrider's cache."""
    if given := os.environ.get("OUTRIDER_TEST_MODEL"):
        return Path(given)
    from outrider import models

    return Path(models.ensure("smollm2-135m-instruct"))


@pytest.fixture(scope="session")
def gemma_path() -> Path:
    """gemma3-270m: OUTRIDER_TEST_GEMMA, or fetched where its terms of use have been accepted."""
    if given := os.environ.get("OUTRIDER_TEST_GEMMA"):
        return Path(given)
    from outrider import models
    from outrider.errors import UsageError

    try:
        return Path(models.ensure("gemma3-270m"))
    except UsageError as refusal:
        pytest.skip(str(refusal))
