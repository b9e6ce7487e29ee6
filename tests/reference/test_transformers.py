"""The engine against float32 computed by transformers, which reads the same GGUF by itself.

Teacher-forced: both see the same tokens and say, at each, what they think comes next.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from outrider.engines.native import NativeEngine
from outrider.lab.environment import machine, versions
from outrider.lab.fidelity import teacher_forced
from outrider.lab.passages import read_passages
from outrider.models.gguf import GgufFile
from outrider.text import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

pytestmark = pytest.mark.reference

GENERATED = Path(__file__).with_name("generated.jsonl")
"""Beside the passages of the package: conversations that the default model has written itself."""
CHUNK = 96


@dataclass(frozen=True)
class Case:
    """A model, and the least number of tokens that passages are joined to."""

    fixture: str
    at_least: int


CASES = {
    "smollm2-135m-instruct": Case("model_path", at_least=1),
    # Beyond the window of 512.
    "gemma3-270m": Case("gemma_path", at_least=1000),
}


@dataclass(frozen=True)
class Agreement:
    """How close two models are over a text; the first is the reference."""

    tokens: int
    mean_kl: float
    top1: float
    perplexity_reference: float
    perplexity: float

    @property
    def perplexity_change(self) -> float:
        return self.perplexity / self.perplexity_reference - 1

    def __str__(self) -> str:
        return (
            f"{self.tokens} tokens, mean KL {self.mean_kl:.6f}, top-1 agreement {self.top1:.2%}, "
            f"perplexity {self.perplexity_reference:.4f} by transformers and "
            f"{self.perplexity:.4f} here ({self.perplexity_change:+.3%})"
        )


class Comparison:
    """Sums over passages; the logits of one chunk are held at a time."""

    def __init__(self) -> None:
        self.kl: list[float] = []
        self.agree: list[bool] = []
        self.logprob_reference: list[float] = []
        self.logprob: list[float] = []

    def add(self, following: list[int], reference: Tensor, ours: Tensor) -> None:
        """Log-probabilities, float64[tokens, vocab_size]; after the last token nothing follows."""
        import torch

        self.kl += (reference.exp() * (reference - ours)).sum(dim=1).tolist()
        self.agree += (reference.argmax(dim=1) == ours.argmax(dim=1)).tolist()
        rows, tokens = torch.arange(len(following)), torch.tensor(following, dtype=torch.int64)
        self.logprob_reference += reference[rows, tokens].tolist()
        self.logprob += ours[rows, tokens].tolist()

    def result(self) -> Agreement:
        return Agreement(
            tokens=len(self.kl),
            mean_kl=float(np.mean(self.kl)),
            top1=float(np.mean(self.agree)),
            perplexity_reference=float(np.exp(-np.mean(self.logprob_reference))),
            perplexity=float(np.exp(-np.mean(self.logprob))),
        )


def log_softmax(logits: Tensor) -> Tensor:
    import torch

    return torch.log_softmax(logits.double(), dim=1)


def by_transformers(path: Path, texts: list[list[int]]) -> Iterator[Tensor]:
    """For each text float32[tokens, vocab_size]: transformers' logits."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        str(path.parent), gguf_file=path.name, local_files_only=True, dtype=torch.float32
    ).eval()
    for tokens in texts:
        with torch.inference_mode():
            logits = model(torch.tensor([tokens])).logits[0]
        yield logits


def compare(path: Path, texts: list[list[int]], engines: list[NativeEngine]) -> list[Agreement]:
    """How close each engine is to transformers."""
    import torch

    comparisons = [Comparison() for _ in engines]
    for tokens, logits in zip(texts, by_transformers(path, texts), strict=True):
        chunks = zip(
            logits.split(CHUNK), *(teacher_forced(e, tokens, CHUNK) for e in engines), strict=True
        )
        for i, (expected, *found) in enumerate(chunks):
            following = tokens[i * CHUNK + 1 : (i + 1) * CHUNK + 1]
            reference = log_softmax(expected)
            for comparison, got in zip(comparisons, found, strict=True):
                comparison.add(following, reference, log_softmax(torch.from_numpy(got)))
    return [comparison.result() for comparison in comparisons]


def write_record(path: Path, engine: NativeEngine, at_least: int, found: Agreement) -> None:
    """What was found, on which model and machine, for documents to quote."""
    record = {
        "benchmark": "versus_transformers",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": {"file": engine.file.path.name, "fingerprint": engine.file.fingerprint()},
        "machine": machine(),
        "versions": {**versions(), **{n: version(n) for n in ("torch", "transformers")}},
        "configuration": {
            "kernel": engine.kernel,
            "float32": engine.float32,
            "threads": engine.threads,
            "chunk": CHUNK,
            "joined_to_tokens": at_least,
        },
        "summary": {**asdict(found), "perplexity_change": found.perplexity_change},
    }
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def passages(path: Path, at_least: int) -> list[list[int]]:
    """The passages as token ids, joined to texts of so many tokens; control tokens count."""
    tokenizer = Tokenizer.from_metadata(GgufFile(path).metadata)
    texts: list[list[int]] = []
    for passage in (*read_passages(), *read_passages(GENERATED)):
        tokens = tokenizer.encode(passage.text, parse_special=True)
        if texts and len(texts[-1]) < at_least:
            texts[-1] += tokens
        else:
            texts.append(tokenizer.with_bos(tokens))
    return texts


@pytest.mark.parametrize("name", CASES)
def test_engine_agrees_with_transformers(
    name: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    case = CASES[name]
    path = request.getfixturevalue(case.fixture)
    engines = [NativeEngine(path, float32=mode) for mode in (False, True)]
    agreements = compare(path, passages(path, case.at_least), engines)
    for engine, found in zip(engines, agreements, strict=True):
        mode = "float32" if engine.float32 else engine.kernel
        with capsys.disabled():
            print(f"\n{name}, {mode}: {found}")
        if records := os.environ.get("OUTRIDER_RECORDS"):
            Path(records).mkdir(parents=True, exist_ok=True)
            file = Path(records) / f"versus_transformers_{name}_{mode}.json"
            write_record(file, engine, case.at_least, found)

    for engine, found in zip(engines, agreements, strict=True):
        assert found.tokens >= 3000
        # Without quantised activations only rounding and the 16-bit cache are left.
        assert found.mean_kl <= (1e-5 if engine.float32 else 0.01)
        assert found.top1 >= (0.998 if engine.float32 else 0.97)
        assert abs(found.perplexity_change) <= (1e-4 if engine.float32 else 0.01)
