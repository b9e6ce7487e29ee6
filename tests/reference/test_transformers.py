"""The engine against float32 computed by transformers, which reads the same GGUF by itself.

Teacher-forced: both see the same tokens and say, at each, what they think comes next.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from outrider.engines.base import HISTORY, Rows
from outrider.engines.native import NativeEngine
from outrider.lab.environment import machine, versions
from outrider.models.gguf import GgufFile
from outrider.text import Tokenizer

pytestmark = pytest.mark.reference

PASSAGES = Path(__file__).with_name("passages.jsonl")
CHUNK = 96
LogProbabilities = NDArray[np.float64]


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
    """Sums over passages; the logits of one passage are held at a time."""

    def __init__(self) -> None:
        self.kl: list[float] = []
        self.agree: list[bool] = []
        self.logprob_reference: list[float] = []
        self.logprob: list[float] = []

    def add(self, tokens: list[int], reference: LogProbabilities, ours: LogProbabilities) -> None:
        self.kl += (np.exp(reference) * (reference - ours)).sum(axis=1).tolist()
        self.agree += (reference.argmax(axis=1) == ours.argmax(axis=1)).tolist()
        rows, following = np.arange(len(tokens) - 1), np.array(tokens[1:])
        self.logprob_reference += reference[rows, following].tolist()
        self.logprob += ours[rows, following].tolist()

    def result(self) -> Agreement:
        return Agreement(
            tokens=len(self.kl),
            mean_kl=float(np.mean(self.kl)),
            top1=float(np.mean(self.agree)),
            perplexity_reference=float(np.exp(-np.mean(self.logprob_reference))),
            perplexity=float(np.exp(-np.mean(self.logprob))),
        )


def log_softmax(logits: NDArray[Any]) -> LogProbabilities:
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    return np.asarray(wide - np.log(np.exp(wide).sum(axis=1, keepdims=True)))


def by_engine(engine: NativeEngine, tokens: list[int]) -> LogProbabilities:
    """float64[tokens, vocab_size], computed in chunks, as prompts are."""
    sequence = engine.open([], len(tokens))
    parts = []
    for start in range(0, len(tokens), CHUNK):
        chunk = np.array(tokens[start : start + CHUNK], np.int32)
        n = len(chunk)
        outcome = engine.forward(
            Rows(
                sequence=np.full(n, sequence.id, np.int32),
                token=chunk,
                parent=np.arange(HISTORY, n + HISTORY, dtype=np.int32),
                commit=np.ones(n, np.bool_),
                want_logits=np.ones(n, np.bool_),
            )
        )
        parts.append(log_softmax(outcome.numpy(range(n))))
    engine.close(sequence)
    return np.concatenate(parts)


def write_record(path: Path, engine: NativeEngine, found: Agreement) -> None:
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
        },
        "summary": {**asdict(found), "perplexity_change": found.perplexity_change},
    }
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def texts(model_path: Path) -> list[list[int]]:
    """The passages as token ids; control tokens are read as such."""
    tokenizer = Tokenizer.from_metadata(GgufFile(model_path).metadata)
    lines = PASSAGES.read_text(encoding="utf-8").splitlines()
    return [tokenizer.encode(json.loads(line)["text"], parse_special=True) for line in lines]


@pytest.fixture(scope="module")
def references(
    model_path: Path, texts: list[list[int]], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """For each text a file of float32[tokens, vocab_size]: transformers' logits."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        str(model_path.parent),
        gguf_file=model_path.name,
        local_files_only=True,
        dtype=torch.float32,
    ).eval()
    folder = tmp_path_factory.mktemp("logits")
    paths = [folder / f"{i}.npy" for i in range(len(texts))]
    with torch.inference_mode():
        for path, tokens in zip(paths, texts, strict=True):
            np.save(path, model(torch.tensor([tokens])).logits[0].numpy())
    return paths


@pytest.fixture(params=[False, True], ids=["quantised", "float32"])
def engine(request: pytest.FixtureRequest, model_path: Path) -> NativeEngine:
    return NativeEngine(model_path, float32=request.param)


def test_engine_agrees_with_transformers(
    engine: NativeEngine,
    texts: list[list[int]],
    references: list[Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    comparison = Comparison()
    for tokens, path in zip(texts, references, strict=True):
        comparison.add(tokens, log_softmax(np.load(path)), by_engine(engine, tokens))
    found = comparison.result()
    name = "float32" if engine.float32 else engine.kernel
    with capsys.disabled():
        print(f"\n{name}: {found}")
    if records := os.environ.get("OUTRIDER_RECORDS"):
        Path(records).mkdir(parents=True, exist_ok=True)
        write_record(Path(records) / f"versus_transformers_{name}.json", engine, found)

    assert found.tokens >= 3000
    # Without quantised activations only rounding and the 16-bit cache are left.
    assert found.mean_kl <= (1e-5 if engine.float32 else 0.01)
    assert found.top1 >= (0.998 if engine.float32 else 0.97)
    assert abs(found.perplexity_change) <= (1e-4 if engine.float32 else 0.01)
