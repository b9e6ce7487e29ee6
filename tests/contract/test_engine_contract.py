from __future__ import annotations

import pytest

from outrider.engines.toy import ToyEngine
from outrider.testing import EngineContract


class TestToyEngine(EngineContract):
    @pytest.fixture
    def target(self) -> ToyEngine:
        return ToyEngine()


class TestToyEngineOfChains(EngineContract):
    @pytest.fixture
    def target(self) -> ToyEngine:
        return ToyEngine(trees=False, block_size=16, context=64, cache_tokens=256)
