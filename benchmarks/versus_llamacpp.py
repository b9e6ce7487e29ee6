"""Plain greedy decoding beside llama.cpp's: same file, same tokens in, same threads, one run.

    python benchmarks/versus_llamacpp.py
    python benchmarks/versus_llamacpp.py --peer-python ENVIRONMENT/bin/python --repeats 1 --limit 2

Every side is a process that stays alive and is stopped while another computes. Each prompt is
given to all of them in turn, and who begins changes from prompt to prompt. llama.cpp runs with and
without flash attention; its faster setting is what ours is held against. Without `--peer-python`
its environment is made first, built for this machine (some ten minutes on two cores).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from outrider import models
from outrider.engines.machine import choose_threads
from outrider.errors import OutriderError, UsageError
from outrider.lab.environment import machine, versions
from outrider.models.gguf import GgufFile
from outrider.prompts import Prompt, read_prompts
from outrider.text import ChatTemplate, Tokenizer, encode_chat
from outrider.types import Message

HERE = Path(__file__).resolve().parent
PEER_ENVIRONMENT = HERE.parent / ".venv-llamacpp"
CONTEXT = 2048
LOADS = 3
BOOTSTRAP_ROUNDS = 10_000
OURS = "outrider"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One prompt, answered once by one side; times in seconds, tokens as they were chosen."""

    side: str
    prompt: int
    category: str | None
    repeat: int
    prompt_tokens: int
    tokens: tuple[int, ...]
    prefill: float
    decode: float

    @property
    def prefill_rate(self) -> float:
        """Prompt tokens a second, up to the first token."""
        return self.prompt_tokens / self.prefill

    @property
    def decode_rate(self) -> float:
        """Tokens a second, from the first to the last."""
        return (len(self.tokens) - 1) / self.decode


class Side:
    """A worker process that computes only while it is asked."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.report: dict[str, Any] = self._read()
        self._process.send_signal(signal.SIGSTOP)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # SIGKILL also ends a process that is stopped.
        self._process.kill()
        self._process.wait()

    def generate(self, tokens: Sequence[int], max_tokens: int) -> dict[str, Any]:
        """Wake the process, have it answer, and stop it again."""
        assert self._process.stdin is not None
        self._process.send_signal(signal.SIGCONT)
        request = {"tokens": list(tokens), "max_tokens": max_tokens}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._read()
        self._process.send_signal(signal.SIGSTOP)
        return answer

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise UsageError(f"The worker of {self.name} ended; its message stands above.")
        answer: dict[str, Any] = json.loads(line)
        return answer


def peer_python(given: Path | None) -> Path:
    """The interpreter of llama.cpp's environment, made and built if there is none yet."""
    if given is not None:
        return given
    python = PEER_ENVIRONMENT / "bin" / "python"
    finished = PEER_ENVIRONMENT / "finished"
    if not finished.exists():
        print("Building llama.cpp for this machine; this happens once.", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", PEER_ENVIRONMENT], check=True)
        subprocess.run(
            [
                *(python, "-m", "pip", "install", "--quiet"),
                *("--no-binary", "llama-cpp-python"),
                *("--requirement", HERE / "llamacpp" / "requirements.txt"),
            ],
            check=True,
            env={
                **os.environ,
                "CMAKE_ARGS": "-DGGML_NATIVE=ON",
                "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1),
            },
        )
        finished.touch()
    return python


def encode(path: Path, prompts: Sequence[Prompt]) -> list[list[int]]:
    """Each prompt's first turn as the user's, in the model's own template."""
    metadata = GgufFile(path).metadata
    tokenizer = Tokenizer.from_metadata(metadata)
    template = ChatTemplate.from_metadata(metadata)
    return [encode_chat(tokenizer, template, [Message("user", p.turns[0])]) for p in prompts]


def measure(
    sides: Sequence[Side],
    prompts: Sequence[Prompt],
    encoded: Sequence[Sequence[int]],
    *,
    max_tokens: int,
    repeats: int,
) -> list[Measurement]:
    """All prompts by all sides, interleaved; one prompt beforehand that does not count."""
    for side in sides:
        side.generate(encoded[0], max_tokens)
    found = []
    for repeat in range(repeats):
        for i, tokens in enumerate(encoded):
            turn = (repeat + i) % len(sides)
            for side in [*sides[turn:], *sides[:turn]]:
                answer = side.generate(tokens, max_tokens)
                found.append(
                    Measurement(
                        side=side.name,
                        prompt=i,
                        category=prompts[i].category,
                        repeat=repeat,
                        prompt_tokens=len(tokens),
                        tokens=tuple(answer["tokens"]),
                        prefill=answer["prefill"],
                        decode=answer["decode"],
                    )
                )
        print(f"{repeat + 1} of {repeats} repeats done", file=sys.stderr)
    return found


def by_prompt(found: Sequence[Measurement], side: str, rate: str) -> np.ndarray[Any, Any]:
    """The median rate of each prompt over its repeats, in the order of the prompts."""
    rates: dict[int, list[float]] = {}
    for m in found:
        if m.side == side:
            rates.setdefault(m.prompt, []).append(getattr(m, rate))
    return np.array([np.median(rates[i]) for i in sorted(rates)])


def ratio(ours: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any]) -> dict[str, float]:
    """Ratio of medians over prompts, with a 95% interval by resampling prompts in pairs."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(ours), (BOOTSTRAP_ROUNDS, len(ours)))
    ratios = np.median(ours[drawn], axis=1) / np.median(theirs[drawn], axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return {
        "ratio": float(np.median(ours) / np.median(theirs)),
        "low": float(low),
        "high": float(high),
    }


def equal_tokens(ours: Sequence[int], theirs: Sequence[int]) -> int:
    """How many tokens stand before the first difference."""
    pairs = zip(ours, theirs, strict=True)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), len(theirs))


def line(m: Measurement, found: Sequence[Measurement]) -> dict[str, Any]:
    """A measurement for the record: its tokens counted, and how many are equal to ours."""
    ours = next(o for o in found if o.side == OURS and o.prompt == m.prompt)
    return {
        **asdict(m),
        "tokens": len(m.tokens),
        "equal_tokens": equal_tokens(ours.tokens, m.tokens),
    }


def equal_share(found: Sequence[Measurement], side: str) -> float:
    """Of the tokens that `side` chose, the share before its first difference from ours."""
    lines = [line(m, found) for m in found if m.side == side]
    return float(sum(x["equal_tokens"] for x in lines) / sum(x["tokens"] for x in lines))


def summarise(sides: Sequence[Side], found: Sequence[Measurement]) -> dict[str, Any]:
    """Medians of every side, and ours against the fastest setting of llama.cpp."""
    medians = {
        side.name: {
            "decode_tokens_per_second": float(
                np.median(by_prompt(found, side.name, "decode_rate"))
            ),
            "prefill_tokens_per_second": float(
                np.median(by_prompt(found, side.name, "prefill_rate"))
            ),
            "load_seconds": float(np.median(side.report["load"])),
        }
        for side in sides
    }
    peers = [side.name for side in sides if side.name != OURS]
    versus = {}
    for rate in ("decode", "prefill"):
        best = max(peers, key=lambda name: medians[name][f"{rate}_tokens_per_second"])
        versus[rate] = {
            "peer": best,
            **ratio(by_prompt(found, OURS, f"{rate}_rate"), by_prompt(found, best, f"{rate}_rate")),
        }
    equal = {name: equal_share(found, name) for name in peers}
    return {"medians": medians, "versus": versus, "equal_until_first_difference": equal}


def commit() -> str:
    """The checkout's commit, marked where files differ from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def table(summary: dict[str, Any]) -> str:
    """The summary for people."""
    lines = [f"{'':32} {'decode tok/s':>12} {'prefill tok/s':>13} {'load s':>7}"]
    for name, m in summary["medians"].items():
        lines.append(
            f"{name:32} {m['decode_tokens_per_second']:12.1f} "
            f"{m['prefill_tokens_per_second']:13.0f} {m['load_seconds']:7.2f}"
        )
    for rate, v in summary["versus"].items():
        lines.append(
            f"{rate}: {v['ratio']:.2f} times {v['peer']} "
            f"(95% interval {v['low']:.2f} to {v['high']:.2f} over prompts)"
        )
    for name, share in summary["equal_until_first_difference"].items():
        lines.append(f"{share:.0%} of the tokens of {name} stand before the first difference")
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("-m", "--model", default=models.DEFAULT_MODEL, help="catalogue name or GGUF file")
    add("--prompts", type=Path, default=HERE / "prompts.jsonl")
    add("--limit", type=int, help="this many prompts, evenly over categories")
    add("--max-tokens", type=int, default=128)
    add("--repeats", type=int, default=3)
    add("--threads", type=int, help="of every side; default: the physical cores")
    add("--peer-python", type=Path, help="interpreter of an environment that has llama-cpp-python")
    add("--output", type=Path, help="the record; default: benchmarks/records/versus_llamacpp.json")
    given = parser.parse_args()
    for name, least in (("max_tokens", 2), ("repeats", 1)):
        if (value := getattr(given, name)) < least:
            parser.error(f"--{name.replace('_', '-')} has to be at least {least}, not {value}")
    return given


def run(given: argparse.Namespace) -> None:
    """Measure, print the table, write the record."""
    path = Path(models.ensure(given.model))
    threads = choose_threads(given.threads)
    prompts = read_prompts(given.prompts, given.limit)
    encoded = encode(path, prompts)
    common = [str(path), f"--threads={threads}", f"--context={CONTEXT}", f"--loads={LOADS}"]
    peer = [str(peer_python(given.peer_python)), str(HERE / "llamacpp" / "worker.py"), *common]
    with (
        Side(OURS, [sys.executable, str(HERE / "outrider_worker.py"), *common]) as ours,
        Side("llama.cpp", peer) as plain,
        Side("llama.cpp, flash attention", [*peer, "--flash-attention"]) as flash,
    ):
        sides = [ours, plain, flash]
        found = measure(sides, prompts, encoded, max_tokens=given.max_tokens, repeats=given.repeats)
        reports = {side.name: side.report for side in sides}
    summary = summarise(sides, found)
    print(table(summary))
    file = GgufFile(path)
    record = {
        "benchmark": "versus_llamacpp",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "model": {"file": path.name, "name": file.name, "fingerprint": file.fingerprint()},
        "machine": machine(),
        "versions": versions(),
        "configuration": {
            "prompts": len(prompts),
            "max_tokens": given.max_tokens,
            "repeats": given.repeats,
            "threads": threads,
            "context": CONTEXT,
        },
        "sides": reports,
        "summary": summary,
        "measurements": [line(m, found) for m in found],
    }
    output = given.output or HERE / "records" / "versus_llamacpp.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Run; what goes wrong foreseeably is one sentence and exit status 1."""
    try:
        run(parse())
    except (OutriderError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
