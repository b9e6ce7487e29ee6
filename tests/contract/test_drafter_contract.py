from __future__ import annotations

from pathlib import Path

import pytest
from gguf import GGMLQuantizationType as Type

import synthetic
from outrider.drafters.base import Drafter, NoDrafter
from outrider.drafters.early_exit import EarlyExitDrafter
from outrider.drafters.free import NgramDrafter, RecycleDrafter, SuffixDrafter
from outrider.drafters.instruments import PerturbedDrafter, RandomDrafter
from outrider.drafters.mixed import MixedDrafter
from outrider.drafters.model import model_drafter
from outrider.drafters.quantized import QuantizedDrafter
from outrider.engines.base import TargetModel
from outrider.engines.native import NativeEngine
from outrider.engines.toy import ToyEngine
from outrider.testing import DrafterContract
from synthetic import Shape


class _OnTrees(DrafterContract):
    @pytest.fixture
    def target(self) -> ToyEngine:
        return ToyEngine()


class TestNgram(_OnTrees):
    def make(self, target: TargetModel) -> Drafter:
        return NgramDrafter(target)


class _OnChains(DrafterContract):
    @pytest.fixture
    def target(self) -> ToyEngine:
        return ToyEngine(trees=False)


class TestNgramOnChains(_OnChains):
    def make(self, target: TargetModel) -> Drafter:
        return NgramDrafter(target)


class TestSuffix(_OnTrees):
    def make(self, target: TargetModel) -> Drafter:
        return SuffixDrafter(target, past=True)


class TestSuffixOnChains(_OnChains):
    def make(self, target: TargetModel) -> Drafter:
        return SuffixDrafter(target)


class TestRecycle(_OnTrees):
    def make(self, target: TargetModel) -> Drafter:
        return RecycleDrafter(target)


class TestRecycleOnChains(_OnChains):
    def make(self, target: TargetModel) -> Drafter:
        return RecycleDrafter(target)


class TestMixed(_OnTrees):
    def make(self, target: TargetModel) -> Drafter:
        return MixedDrafter(target)


class TestMixedOnChains(_OnChains):
    def make(self, target: TargetModel) -> Drafter:
        return MixedDrafter(target)


class TestNone(_OnTrees):
    def make(self, target: TargetModel) -> Drafter:
        return NoDrafter(target)


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a target of 8 bits and a draft model of the same tokenizer."""
    directory = tmp_path_factory.mktemp("pair")
    shape = Shape(layers=3, vocab=300, context=128, type=Type.Q8_0)
    synthetic.write(directory / "target.gguf", shape)
    synthetic.write(directory / "draft.gguf", Shape(layers=1, vocab=300, context=128))
    return directory


class _OnFiles(DrafterContract):
    @pytest.fixture
    def target(self, pair: Path, monkeypatch: pytest.MonkeyPatch) -> NativeEngine:
        monkeypatch.setenv("OUTRIDER_CACHE", str(pair / "cache"))
        return NativeEngine(pair / "target.gguf", threads=1, cache_bytes=1 << 22)

    @staticmethod
    def draft_model(target: TargetModel) -> str:
        assert isinstance(target, NativeEngine)
        return str(target.file.path.with_name("draft.gguf"))


class TestModel(_OnFiles):
    def make(self, target: TargetModel) -> Drafter:
        return model_drafter(target, draft_model=self.draft_model(target))


class TestModelOfTrees(_OnFiles):
    def make(self, target: TargetModel) -> Drafter:
        return model_drafter(target, draft_model=self.draft_model(target), branch=3)


class TestModelThatDraws(_OnFiles):
    def make(self, target: TargetModel) -> Drafter:
        return model_drafter(target, draft_model=self.draft_model(target), draws=True)


class TestModelThroughText(_OnFiles):
    def make(self, target: TargetModel) -> Drafter:
        return model_drafter(target, draft_model=self.draft_model(target), through_text=True)


class TestQuantized(_OnFiles):
    def make(self, target: TargetModel) -> Drafter:
        return QuantizedDrafter(target)


class TestEarlyExit(_OnTrees):
    def make(self, target: TargetModel) -> Drafter:
        return EarlyExitDrafter(target, layers=2)


class TestEarlyExitOfTrees(_OnTrees):
    def make(self, target: TargetModel) -> Drafter:
        return EarlyExitDrafter(target, layers=2, branch=2)


class TestPerturbed(_OnTrees):
    def make(self, target: TargetModel) -> Drafter:
        return PerturbedDrafter(target, noise=0.5)


class TestPerturbedOnChains(_OnChains):
    def make(self, target: TargetModel) -> Drafter:
        return PerturbedDrafter(target, noise=0.5)


class TestPerturbedOfTrees(_OnTrees):
    def make(self, target: TargetModel) -> Drafter:
        return PerturbedDrafter(target, noise=0.5, branch=3)


class TestPerturbedThatDraws(_OnTrees):
    def make(self, target: TargetModel) -> Drafter:
        return PerturbedDrafter(target, noise=0.5, draws=True)


class TestPerturbedOnFiles(_OnFiles):
    def make(self, target: TargetModel) -> Drafter:
        return PerturbedDrafter(target)


class TestRandom(_OnTrees):
    def make(self, target: TargetModel) -> Drafter:
        return RandomDrafter(target)


class TestRandomOnChains(_OnChains):
    def make(self, target: TargetModel) -> Drafter:
        return RandomDrafter(target)
