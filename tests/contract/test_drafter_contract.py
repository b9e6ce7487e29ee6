from __future__ import annotations

import pytest

from outrider.drafters.base import Drafter, NoDrafter
from outrider.drafters.free import NgramDrafter
from outrider.engines.base import TargetModel
from outrider.engines.toy import ToyEngine
from outrider.testing import DrafterContract


class _OnTrees(DrafterContract):
    @pytest.fixture
    def target(self) -> ToyEngine:
        return ToyEngine()


class TestNgram(_OnTrees):
    def make(self, target: TargetModel) -> Drafter:
        return NgramDrafter(target)


class TestNgramOnChains(DrafterContract):
    @pytest.fixture
    def target(self) -> ToyEngine:
        return ToyEngine(trees=False)

    def make(self, target: TargetModel) -> Drafter:
        return NgramDrafter(target)


class TestNone(_OnTrees):
    def make(self, target: TargetModel) -> Drafter:
        return NoDrafter(target)
