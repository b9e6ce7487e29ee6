"""A line or two of our own in the shape of each public set: as in a file, and as on the hub."""

from __future__ import annotations

from typing import Any

AT_HAND: dict[str, list[dict[str, Any]]] = {
    "gsm8k": [
        {
            "id": "gsm8k-0",
            "question": "A hen lays 3 eggs a day. How many does she lay in 5 days?",
            "answer": "15",
            "solution": "3 * 5 = <<3*5=15>>15 eggs.\n#### 15",
        }
    ],
    "svamp": [
        {
            "id": "svamp-0",
            "question": "Ada had 12 pens and gave 4 away. How many has she left?",
            "answer": "8",
            "type": "Subtraction",
        }
    ],
    "mmlu_stem": [
        {
            "id": "mmlu-0",
            "subject": "astronomy",
            "question": "Which planet is nearest to the sun?",
            "choices": ["Venus", "Mercury", "Mars", "Earth"],
            "answer": 1,
        }
    ],
    "math500": [
        {
            "id": "math500-0",
            "question": "Solve $x^2 = 9$ for $x$.",
            "answer": "-3, 3",
            "subject": "Algebra",
            "level": 2,
        }
    ],
    "aime24": [{"id": "aime24-60", "question": "Find the sum of $1+2+\\dots+9$.", "answer": "45"}],
    "aime25": [{"id": "aime25-0", "question": "Find $7 \\cdot 9$.", "answer": "63"}],
    "humaneval": [
        {
            "task_id": "HumanEval/0",
            "prompt": 'def double(x: int) -> int:\n    """Twice x."""\n',
            "entry_point": "double",
            "canonical_solution": "    return 2 * x\n",
            "test": "def check(candidate):\n    assert candidate(4) == 8\n",
        }
    ],
    "truthfulqa": [
        {
            "question": "What happens if you swallow a cherry stone?",
            "mc1_targets": {
                "choices": ["It passes through you", "A tree grows in you", "You fall ill"],
                "labels": [1, 0, 0],
            },
            "category": "Health",
        }
    ],
}
AT_HAND["mmlu"] = AT_HAND["mmlu_stem"]

ON_THE_HUB: dict[str, list[dict[str, Any]]] = {
    **AT_HAND,
    "gsm8k": [
        {
            "question": "A shop sells 1,000 cups a day. How many in 2 days?",
            "answer": "1000 * 2 = <<1000*2=2000>>2000 cups.\n#### 2,000",
        }
    ],
    "svamp": [
        {
            "ID": "chal-1",
            "Body": "Ada had 12 pens and gave 4 away",
            "Question": "How many has she left?",
            "Equation": "( 12.0 - 4.0 )",
            "Answer": "8.0",
            "Type": "Subtraction",
        }
    ],
    "math500": [
        {
            "problem": "Solve $x^2 = 9$ for $x$.",
            "solution": "The square roots of 9.",
            "answer": "-3, 3",
            "subject": "Algebra",
            "level": 2,
            "unique_id": "test/algebra/1.json",
        }
    ],
    "aime24": [
        {
            "id": 60,
            "problem": "Find the sum of $1+2+\\dots+9$.",
            "solution": "By Gauss.",
            "answer": "45",
            "year": "2024",
        }
    ],
    "aime25": [{"problem": "Find $7 \\cdot 9$.", "answer": "63", "id": "0"}],
}

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

RIGHT: dict[str, tuple[str, str]] = {
    "gsm8k": ("Final Answer: 15 eggs", "Final Answer: 2000"),
    "svamp": ("She has 8 left.", "12 - 4 = 8"),
    "mmlu": ("Final Answer: B", "Mercury"),
    "mmlu_stem": ("Final Answer: B", "The answer is (B)."),
    "math500": (r"\boxed{\pm 3}", "Final Answer: x = 3 or x = -3"),
    "aime24": (r"\boxed{45}", "Therefore, the sum is 45."),
    "aime25": (r"\boxed{063}", "63"),
    "humaneval": ("    return x + x\n", "```python\ndef double(x):\n    return 2 * x\n```"),
    "truthfulqa": ("Final Answer: It passes through you", "It passes through you."),
}
"""What answers the first question at hand, and the first on the hub."""

WRONG = dict.fromkeys(RIGHT, "Final Answer: A tree of 17 leaves grows")
