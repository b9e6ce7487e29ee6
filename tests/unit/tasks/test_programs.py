from __future__ import annotations

import os
from pathlib import Path

import pytest

from outrider.errors import UsageError
from outrider.tasks import Problem, programs
from outrider.tasks.programs import extract_program, grade_program, run_tests

HEAD = 'from typing import List\n\n\ndef total(values: List[int]) -> int:\n    """Their sum."""\n'
PROBLEM = Problem(
    id="sums/0",
    question=HEAD,
    answer=None,
    data={
        "prompt": HEAD,
        "entry_point": "total",
        "test": "def check(candidate):\n"
        "    assert candidate([1, 2]) == 3\n"
        "    assert candidate([]) == 0\n",
    },
)

RIGHT = (
    "    return sum(values)\n",
    "return sum(values)",
    "```python\ndef total(values):\n    return sum(values)\n```",
    "Here it is:\n\n```python\nfrom functools import reduce\n\n"
    "def total(values: List[int]) -> int:\n"
    "    return reduce(lambda a, b: a + b, values, 0)\n```\n\nIt folds the list.",
    "```\n    return sum(values)\n```",
    "First `total`:\n```py\nprint(1)\n```\nand now\n```py\n"
    "def total(values):\n    return sum(values)\n```",
    "def total(values):\n    return sum(values)\n\nThis adds them up, doesn't it?",
    "    result = 0\n    for value in values:\n        result += value\n    return result\n\n"
    "print(total([1]))",
    "```python\ndef total(values):\n    return sum(values)\n",
)


@pytest.mark.parametrize("text", RIGHT)
def test_right_programs_pass(text: str) -> None:
    grade = grade_program(PROBLEM, text)

    assert grade.correct, grade


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("    return values[5]\n", "IndexError"),
        ("    return 3\n", "AssertionError"),
        ("    return sum(values\n", "SyntaxError"),
        ("    import sys\n    sys.exit(0)\n", "ended before its tests"),
        ("    import os\n    os._exit(0)\n", "ended before its tests"),
        ("    while True: pass\n", "longer than"),
        ("    return len('x' * 10**10)\n", "MemoryError"),
        (
            "    open('big', 'w').write('x' * 10**8)\n    return 3\n",
            "File too large|took longer|OSError",
        ),
        ("    return input()\n", "EOFError"),
    ],
)
def test_wrong_programs_fail_and_say_why(
    text: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "SECONDS", 1)

    grade = grade_program(PROBLEM, text)

    assert not grade.correct
    assert any(word in grade.reason for word in reason.split("|")), grade.reason


def test_a_program_can_start_no_process() -> None:
    # Root becomes nobody for it, unless Python is installed where only root may read.
    passed, reason = run_tests("import os\nos.fork()\nos.fork()")

    assert not passed or os.getuid() == 0
    assert passed or "BlockingIOError" in reason or "PermissionError" in reason


def test_a_program_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    passed, _ = run_tests(
        "open('here', 'w').write('x')\nimport os\nassert os.listdir() == ['here']"
    )

    assert passed
    assert list(tmp_path.iterdir()) == []


def test_prose_is_no_program() -> None:
    assert extract_program("", HEAD, "total") is None
    assert not grade_program(PROBLEM, "I am sorry, I cannot write programs.").correct


def test_a_problem_without_tests_is_refused() -> None:
    with pytest.raises(UsageError, match="has no test and no entry_point"):
        grade_program(Problem(id="1", question="?", answer=None), "return 1")
