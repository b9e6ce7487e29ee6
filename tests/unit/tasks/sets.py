"""Rows of our own in the shape of each public set, and answers to them, right and wrong.

The rows are in `tests/fixtures/sets`: `<name>.jsonl` as in a file, `<name>.hub.jsonl` as on the
Hugging Face hub.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parents[2] / "fixtures" / "sets"


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


ON_THE_HUB = {
    path.name.removesuffix(".hub.jsonl"): rows(path) for path in FIXTURES.glob("*.hub.jsonl")
}
AT_HAND = {name: rows(FIXTURES / f"{name}.jsonl") for name in ON_THE_HUB}

ELSEWHERE: dict[str, dict[str, list[dict[str, Any]]]] = {
    "someone/colours": {
        "train": [{"prompt": "Name a colour."}],
        "validation": [
            {
                "question": "Which is blue?",
                "choices": ["grass", "sky"],
                "answer": 1,
                "subject": "nature",
            },
            {
                "question": "Which is red?",
                "choices": ["blood", "milk"],
                "answer": "A",
                "subject": "body",
            },
        ],
    },
    "someone/chats": {"train": [{"turns": ["Hello.", "And you?"], "category": "chat"}]},
    "someone/pictures": {"test": [{"image": "…", "caption": "A house."}]},
}
"""Data sets of the hub that are no public set of ours, by split."""

DOUBLE = "```python\ndef double(x):\n    return 2 * x\n```"
LONGEST = "def longest(words):\n    return sorted(words, key=len, reverse=True)[0]\n"
STEM = ("Final Answer: B", "The answer is (C).", "8")

RIGHT_AT_HAND: dict[str, tuple[str, ...]] = {
    "gsm8k": ("Final Answer: 15 eggs", "Half of it is 3,000.", r"\boxed{21}"),
    "svamp": ("She has 8 left.", "36 / 4 = 9"),
    "mmlu": STEM,
    "mmlu_stem": STEM,
    "math500": (r"\boxed{\pm 3}", "Final Answer: 0.75", r"\boxed{(2, \pi/2)}"),
    "aime24": (r"\boxed{45}", "Therefore, there are 8."),
    "aime25": (r"\boxed{063}", "Final Answer: 10"),
    "humaneval": ("    return x + x\n", LONGEST),
    "truthfulqa": ("Final Answer: It passes through you", "No, they remember things for months."),
}
RIGHT_ON_THE_HUB: dict[str, tuple[str, ...]] = {
    **RIGHT_AT_HAND,
    "gsm8k": ("Final Answer: 2000", "The answer is 750 cm."),
    "svamp": ("12 - 4 = 8", "Final Answer: 15"),
    "math500": ("Final Answer: x = 3 or x = -3", r"\boxed{\sqrt{50}}"),
    "aime24": (r"\boxed{45}", "The remainder is 24."),
    "aime25": ("63", r"\boxed{4}"),
    "humaneval": (DOUBLE, "    return max(words, key=lambda word: len(word))\n"),
}
"""What answers the rows, in their order."""

WRONG = ("Final Answer: A tree of 17 leaves grows", "Final Answer: ", "")
