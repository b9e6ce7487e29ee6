"""Sides of a comparison: whose turn it is, and what is kept of an answer."""

from __future__ import annotations

from typing import Any

from sides import Measurement, Task, measure


class Listed:
    """A side that only writes down when it was asked."""

    def __init__(self, name: str, asked: list[str]) -> None:
        self.name, self._asked = name, asked

    def generate(self, tokens: tuple[int, ...], max_tokens: int, *, reuse: bool) -> dict[str, Any]:
        self._asked.append(self.name)
        return {"tokens": [7] * max_tokens, "first": 2, "prefill": 0.5, "decode": 0.25}


def test_who_begins_changes_from_prompt_to_prompt() -> None:
    asked: list[str] = []
    sides: list[Any] = [Listed(name, asked) for name in "abc"]
    first, second = Task((1,), "kind"), Task((2, 2))

    warm_up, found = measure(sides, [first, second], max_tokens=5, repeats=2)

    assert [(m.side, m.prompt) for m in warm_up] == [("a", 0), ("b", 0), ("c", 0)]
    assert "".join(asked) == "abc" + "abcbca" + "bcacab"
    assert [(m.side, m.prompt, m.repeat) for m in found][3:7] == [
        ("b", 1, 0),
        ("c", 1, 0),
        ("a", 1, 0),
        ("b", 0, 1),
    ]
    assert found[0] == Measurement("a", 0, "kind", 0, 1, (7,) * 5, 0.5, 0.25, 2)
    assert found[0].decode_rate == 12.0
    assert found[3].prefill_rate == 4.0


def test_what_says_nothing_after_its_first_tokens_has_no_speed() -> None:
    silent = Measurement("a", 0, None, 0, 1, (), 0.5, 0.25)
    assert (silent.decoded, silent.decode_rate) == (0, 0.0)
