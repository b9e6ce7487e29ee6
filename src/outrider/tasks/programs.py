"""Grading of programs by their unit tests, in a process with limits (HumanEval's problems)."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Final

from outrider.errors import UsageError
from outrider.tasks.base import Grade, Problem

SECONDS: Final = 10
"""Of processor time that a program and its tests may take, and as many again of the clock."""

OUTPUT_CHARACTERS: Final = 4000

_SANDBOX = Path(__file__).with_name("_sandbox.py")
_FENCE = re.compile(r"^[ \t]*```[ \t]*(?:python|py)?\d?[ \t]*\n(.*?)(?:^[ \t]*```|\Z)", re.S | re.M)


def grade_program(problem: Problem, text: str) -> Grade:
    """Right where the program in the text passes the problem's tests.

    The problem's data holds `prompt` (the head of a function), `test` (which defines
    `check(candidate)`) and `entry_point` (the function's name).

    Raises:
        UsageError: it does not.
    """
    missing = [key for key in ("test", "entry_point") if key not in problem.data]
    if missing:
        raise UsageError(
            f"Problem {problem.id} cannot be graded by tests: it has no {' and no '.join(missing)}."
        )
    prompt, name = str(problem.data.get("prompt", problem.question)), problem.data["entry_point"]
    program = extract_program(text, prompt, name)
    if program is None:
        return Grade(False, None, f"no program with {name}() was found in the text")
    passed, reason = run_tests(f"{program}\n\n{problem.data['test']}\n\ncheck({name})\n")
    return Grade(passed, program, reason)


def extract_program(text: str, prompt: str, entry_point: str) -> str | None:
    """The program in a text: a block of code with the function, or a body for the prompt's head.

    Returns:
        None where the text holds neither.
    """
    defines = re.compile(rf"^[ \t]*def {re.escape(entry_point)}\s*\(", re.M)
    blocks = [match[1] for match in _FENCE.finditer(text)]
    for block in (*blocks, text):
        if defines.search(block):
            # The prompt brings imports and helpers; a definition after its own replaces it.
            return f"{prompt.rstrip()}\n    pass\n\n{_parsable(block[_code_start(block) :])}"
    for block in (*blocks, text):
        body = _body(block)
        if body.strip():
            return f"{prompt.rstrip()}\n{body}"
    return None


def run_tests(program: str) -> tuple[bool, str]:
    """Runs a program that raises where a test fails; says whether it came to its end, or why not.

    It runs in an empty directory that is removed afterwards, with limits of time, memory,
    processes and files; whatever it started is ended with it.
    """
    # A program that ends the process early prints no mark; which mark, it cannot know.
    mark = token_hex(16)
    with TemporaryDirectory() as directory:
        process = subprocess.Popen(
            [sys.executable, "-I", str(_SANDBOX), str(SECONDS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=directory,
            env={"PATH": os.defpath, "HOME": directory, "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=True,
        )
        try:
            out, err = process.communicate(f"{program}\nprint({mark!r})\n", timeout=2 * SECONDS)
        except subprocess.TimeoutExpired:
            return False, f"the tests took longer than {2 * SECONDS} seconds"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode == 0 and out.rstrip().endswith(mark):
        return True, "all tests passed"
    if process.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return False, f"the tests took longer than {SECONDS} seconds of processor time"
    if process.returncode == 0:
        return False, "the program ended before its tests did"
    last = next((line for line in reversed(err.splitlines()) if line.strip()), "no message")
    return False, f"the tests failed: {last.strip()[:OUTPUT_CHARACTERS]}"


def _code_start(block: str) -> int:
    """Where code begins: at the first import, decorator, definition or assignment."""
    match = re.search(r"^(?:from|import|@|def|class|[A-Za-z_]\w*\s*[:=])", block, re.M)
    return match.start() if match else 0


def _parsable(code: str) -> str:
    """The longest beginning of some code, by whole lines, that is Python; prose may follow it."""
    lines = code.splitlines()
    for end in range(len(lines), 0, -1):
        with suppress(SyntaxError, ValueError):
            ast.parse("\n".join(lines[:end]))
            return "\n".join(lines[:end])
    return code


def _body(block: str) -> str:
    """The lines of a function's body: up to the first that is not indented."""
    lines: list[str] = []
    for line in block.strip("\n").splitlines():
        if line.strip() and not line[0].isspace():
            if not lines:  # an answer may go on in the middle of the first line
                lines.append(f"    {line}")
                continue
            break
        lines.append(line)
    return "\n".join(lines)
