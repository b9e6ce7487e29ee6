"""What a quality predictor looks at: the question, and then the answers to it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from outrider.strategies.cascade.stage import Answer
from outrider.tasks import Problem

Features = dict[str, float]
"""Values by name; not-a-number where there is none."""

QUANTILES: Final = (0.0, 0.1, 0.25, 0.5, 0.75)
"""Of an answer's log-probabilities; their mean and sum would grow or shrink with its length."""

KEYWORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "asks": ("why", "how", "explain", "prove", "derive", "show"),
    "counts": ("how many", "how much", "total", "altogether", "left", "remain", "sum"),
    "compares": ("more than", "less than", "difference", "times as", "twice", "half", "ratio"),
    "divides": ("each", "every", "per ", "share", "split", "equally", "average", "percent"),
    "conditions": ("if ", "then", "unless", "after", "before", "when"),
}
"""Words of questions, by what they hint at."""

REFERENCES: Final = frozenset(
    ("it", "its", "that", "this", "these", "those", "they", "them", "he", "she", "result", "again")
)
"""Words by which a question goes on from what was said before."""

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_WORD = re.compile(r"[^\W\d_]+")


def question_features(problem: Problem) -> Features:
    """What is known before any answer: length, kind, numbers, and the conversation so far."""
    text = problem.question
    numbers = _numbers(text)
    said = [turn.content for turn in problem.earlier if turn.role != "system"]
    known = _numbers(" ".join(said))
    words = _WORD.findall(text)
    letters = sum(map(len, words))
    return {
        **keyword_features(problem),
        "numbers": len(numbers),
        "largest_number": math.log10(1 + max(numbers, default=0.0)),
        "first_number": math.log10(1 + numbers[0]) if numbers else math.nan,
        "second_number": math.log10(1 + numbers[1]) if len(numbers) > 1 else math.nan,
        "last_number": math.log10(1 + numbers[-1]) if numbers else math.nan,
        "second_above_first": float(numbers[1] > numbers[0]) if len(numbers) > 1 else math.nan,
        "product_of_numbers": sum(math.log10(1 + n) for n in numbers),
        "share_of_letters": letters / max(len(text), 1),
        "letters_a_word": letters / max(len(words), 1),
        "different_words": len({w.lower() for w in words}),
        "plus": text.count("+"),
        "minus": text.count("-"),
        "times": len(re.findall(r"[*×·]", text)),
        "divided": text.count("/"),
        "brackets": text.count("("),
        "bracket_depth": _depth(text),
        "commas": text.count(","),
        "choices": len(problem.choices),
        "choice_characters": float(np.mean([len(c) for c in problem.choices] or [0])),
        "is_code": float("def " in text or "```" in text),
        "earlier_turns": len(said),
        "earlier_characters": sum(map(len, said)),
        "earlier_numbers": len(known),
        "largest_earlier_number": math.log10(1 + max(known, default=0.0)),
        "refers_back": sum(word.lower() in REFERENCES for word in words) if said else 0,
    }


def keyword_features(problem: Problem) -> Features:
    """Length and key words alone: what the baseline looks at."""
    text = problem.question.lower()
    return {
        "characters": len(text),
        "words": len(_WORD.findall(text)),
        "sentences": len(re.findall(r"[.?!](?:\s|$)", text)),
        **{name: sum(map(text.count, words)) for name, words in KEYWORDS.items()},
    }


def answer_features(answer: Answer, earlier: Sequence[Answer] = ()) -> Features:
    """What an answer shows of itself, and beside those of earlier stages."""
    logprobs, entropies = np.array(answer.logprobs), np.array(answer.entropies)
    found = [vote for vote in answer.votes if vote is not None]
    same = [other.answer == answer.answer for other in earlier if answer.answer is not None]
    told = {f"logprob_q{round(100 * q)}": _quantile(logprobs, q) for q in QUANTILES}
    return {
        **told,
        "logprob_last": float(logprobs[-1]) if len(logprobs) else math.nan,
        "logprob_end": float(logprobs[-4:].min()) if len(logprobs) else math.nan,
        "entropy_q50": _quantile(entropies, 0.5),
        "entropy_q90": _quantile(entropies, 0.9),
        "entropy_first": float(entropies[0]) if len(entropies) else math.nan,
        "tokens": len(logprobs),
        "answered": float(answer.answer is not None),
        "answer_characters": len(answer.answer or ""),
        "cut_off": float(answer.finish_reason == "length"),
        "agreement": answer.votes.count(answer.answer) / len(answer.votes) if found else 0.0,
        "different_answers": len(set(found)),
        "self_check": math.nan if answer.yes is None else answer.yes,
        "earlier_agreement": float(np.mean(same)) if same else math.nan,
        "agrees_with_last": float(same[-1]) if same else math.nan,
    }


def _numbers(text: str) -> list[float]:
    return [float(n) for n in _NUMBER.findall(text)]


def _quantile(values: np.ndarray, q: float) -> float:
    return float(np.quantile(values, q)) if len(values) else math.nan


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        deepest = max(deepest, depth)
    return deepest
