"""Plain greedy decoding and prefill beside llama.cpp's: same tokens in, same threads, one run.

    python benchmarks/versus_peers.py
    python benchmarks/versus_peers.py --only mix --only prefill512 --repeats 1 --limit 2
    python benchmarks/versus_peers.py --peer-python ENVIRONMENT/bin/python

Engines that draft are compared by `outrider lab run peers`.

What is compared with whom stands in `benchmarks/comparisons.py`, who takes part in
`contestants.py`; each comparison leaves a record, and a table at the end holds what was measured
against what is to be reached.

Every side is a process that stays alive and is stopped while another computes. Each prompt is
given to all of them in turn, and who begins changes from prompt to prompt. Ours stays on the file
itself, and is held against the peer's fastest setting on each file: llama.cpp runs with and without
flash attention, where long prompts are computed with several sizes of its micro-batch, and where a
target says so also on a copy of the file in Q4_0, its fastest type.

The environments of the peer are made first (llama.cpp's two builds take some ten minutes each on
two cores) unless they are given.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from comparisons import COMPARISONS, Comparison
from contestants import OURS, Contestant, Interpreters, contestants
from outrider import models
from outrider.engines.machine import choose_threads
from outrider.errors import OutriderError, UsageError
from outrider.lab.environment import machine, versions
from outrider.lab.peers import environments
from outrider.lab.peers.copies import SAME_FILE, copy_of, describe
from outrider.models.gguf import GgufFile
from outrider.prompts import Prompt
from outrider.tasks import load_prompts
from outrider.text import ChatTemplate, Tokenizer, encode_chat
from outrider.text.chat import TEMPLATE
from outrider.types import Message
from report import line, reached, summarise, table, targets_table
from sides import FileSide, Task, measure

HERE = Path(__file__).resolve().parent


def ask(metadata: dict[str, Any], prompts: Sequence[Prompt]) -> list[Task]:
    """Each prompt's first turn: as the user's in the model's own template, if it has one."""
    tokenizer = Tokenizer.from_metadata(metadata)
    template = ChatTemplate.from_metadata(metadata)

    def encode(text: str) -> list[int]:
        if TEMPLATE not in metadata:
            return tokenizer.encode_prompt(text)
        return encode_chat(tokenizer, template, [Message("user", text)])

    return [Task(tuple(encode(p.turns[0])), p.category) for p in prompts]


def fill(metadata: dict[str, Any], prompts: Sequence[Prompt], count: int) -> Task:
    """One prompt of exactly `count` tokens: the prompts' texts, one after another, over again."""
    text = "\n\n".join(turn for prompt in prompts for turn in prompt.turns)
    tokenizer = Tokenizer.from_metadata(metadata)
    tokens = tokenizer.encode_prompt(text)
    while len(tokens) < count:
        tokens += tokenizer.encode("\n\n" + text)
    return Task(tuple(tokens[:count]))


def start(
    comparison: Comparison, taking_part: Sequence[Contestant], stack: ExitStack
) -> list[FileSide]:
    """Start the sides, each ready and stopped."""
    sides = []
    for one in taking_part:
        side = FileSide(one.name, one.command, file=one.file, variables=one.variables)
        sides.append(stack.enter_context(side))
        if one.name != OURS:
            check(comparison.build, side)
    return sides


def check(build: environments.Build, side: FileSide) -> None:
    """Refuse an environment whose llama.cpp is not built as the comparison says."""
    system = side.report["settings"].get("system", "")
    if build is environments.AVX2 and ("AVX512" in system or "AVX2 = 1" not in system):
        raise UsageError(
            f"The llama.cpp given with --peer-python-avx2 is not built for AVX2 alone (it says "
            f"{system!r}); build it with {build.cmake}."
        )


def commit() -> str:
    """The checkout's commit, marked where files differ from it; other records do not count."""
    found = git("rev-parse", "--short=12", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":!records")
    return f"{found}-dirty" if found and changed else found or "unknown"


def git(*arguments: str) -> str:
    """What git says of this checkout; nothing where it fails."""
    done = subprocess.run(
        ["git", *arguments], cwd=HERE, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def compare(
    comparison: Comparison, given: argparse.Namespace, copies: Path
) -> list[dict[str, Any]]:
    """Measure one comparison, print its table, write its record; what became of its targets."""
    scenario = comparison.scenario
    path = models.ensure(comparison.model)
    models_of = {kind: copy_of(path, kind, copies) for kind in (SAME_FILE, *comparison.files)}
    metadata = GgufFile(path).metadata
    tasks = (
        ask(metadata, load_prompts(given.prompts, given.limit))
        if scenario.prompt_tokens is None
        else [fill(metadata, load_prompts(given.prompts), scenario.prompt_tokens)]
    )
    threads = choose_threads(given.threads)
    interpreters = Interpreters(given.peer_python, given.peer_python_avx2)
    taking_part = contestants(comparison, models_of, threads, interpreters)
    repeats = given.repeats or scenario.repeats
    print(f"{comparison.name}: starting the sides", file=sys.stderr)
    with ExitStack() as stack:
        sides = start(comparison, taking_part, stack)
        warm_up, found = measure(
            sides,
            tasks,
            max_tokens=scenario.max_tokens,
            repeats=repeats,
            reuse=scenario.reuse,
        )
    summary = summarise(comparison, sides, found)
    print(table(comparison, summary))
    targets = reached(comparison, summary)
    record: dict[str, Any] = {
        "benchmark": "versus_peers",
        "comparison": comparison.name,
        "peer": "llama.cpp",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "model": describe(path),
        "copies": {name: describe(copy) for name, copy in models_of.items() if name != SAME_FILE},
        "machine": machine(),
        "versions": versions(),
        "configuration": {
            **asdict(scenario),
            "prompts": len(tasks),
            "chat_template": scenario.prompt_tokens is None and TEMPLATE in metadata,
            "repeats": repeats,
            "threads": threads,
            "build": asdict(comparison.build),
            "prompt_file": Path(given.prompts).name if given.prompts else "built in",
            "interval_over": "prompts" if len(tasks) > 1 else "repeats",
        },
        "sides": {side.name: side.report for side in sides},
        "targets": targets,
        "summary": summary,
        "warm_up": [line(m, warm_up) for m in warm_up],
        "measurements": [line(m, found) for m in found],
    }
    given.records.mkdir(parents=True, exist_ok=True)
    output = given.records / f"versus_{comparison.record_name}.json"
    output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return targets


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("-m", "--model", help="catalogue name or GGUF file, in place of the default model")
    add(
        "--only",
        action="append",
        choices=COMPARISONS,
        metavar="NAME",
        help=f"measure this one ({', '.join(COMPARISONS)}); may be given several times",
    )
    add("--prompts", help="a file, or a set by name; default: 26 prompts of our own")
    add("--limit", type=int, help="this many prompts, evenly over categories")
    add("--repeats", type=int, help="of each prompt; default: what each comparison says")
    add("--threads", type=int, help="of every side; default: the physical cores")
    add("--peer-python", type=Path, help="interpreter of an environment that has llama-cpp-python")
    add("--peer-python-avx2", type=Path, help="the same with llama.cpp built for AVX2")
    add("--copies", type=Path, help="a folder to keep copies of the file in, for another run")
    add("--records", type=Path, default=HERE / "records", help="the folder of the records")
    given = parser.parse_args()
    if given.repeats is not None and given.repeats < 1:
        parser.error(f"--repeats has to be at least 1, not {given.repeats}")
    return given


def run(given: argparse.Namespace) -> bool:
    """All comparisons that were asked for; whether each could be made."""
    done, failed = {}, False
    with TemporaryDirectory() as passing:
        copies = given.copies or Path(passing)
        for name in given.only or COMPARISONS:
            comparison = COMPARISONS[name]
            if given.model and comparison.model == models.DEFAULT_MODEL:
                comparison = replace(comparison, model=given.model)
            try:
                done[name] = compare(comparison, given, copies)
            except (OutriderError, OSError, subprocess.CalledProcessError) as error:
                print(f"error: {name} was not measured: {error}", file=sys.stderr)
                failed = True
    if done:
        print(targets_table(done))
    return not failed


if __name__ == "__main__":
    # Ends the sides too: they may be stopped, and would stay so.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(0 if run(parse()) else 1)
