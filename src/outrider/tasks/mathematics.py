"""Whether two answers are the same mathematics, whatever they are written like."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from fractions import Fraction
from importlib.util import find_spec
from selectors import EVENT_READ, DefaultSelector
from threading import Lock
from typing import Final
from weakref import finalize

from outrider.errors import UsageError

SECONDS: Final = 10.0
"""What a comparison may take."""

START_SECONDS: Final = 60.0
"""What the first may take on top: the libraries are loaded then."""

_SYMBOLS: Final = {
    "−": "-",
    "–": "-",
    "×": r"\times ",
    "·": r"\cdot ",
    "⋅": r"\cdot ",
    "÷": "/",
    "≤": r"\le ",
    "≥": r"\ge ",
    "≠": r"\ne ",
    "±": r"\pm ",
    "∞": r"\infty ",
    "π": r"\pi ",
    "∪": r"\cup ",
    "∩": r"\cap ",
    "∅": r"\emptyset ",
    "°": r"^\circ ",
    "½": r"\frac{1}{2}",
    "¼": r"\frac{1}{4}",
    "¾": r"\frac{3}{4}",
    "⅓": r"\frac{1}{3}",
    "⅔": r"\frac{2}{3}",
    "（": "(",
    "）": ")",
    "，": ",",
    "、": ",",
    "；": ",",
    "＝": "=",
    r"\varnothing": r"\emptyset",
    r"\leq": r"\le",
    r"\geq": r"\ge",
    r"\dfrac": r"\frac",
    r"\tfrac": r"\frac",
    r"\left": "",
    r"\right": "",
    r"\$": "",
    r"\!": "",
    r"\,": " ",
    r"\;": " ",
    r"\ ": " ",
    "~": " ",
}
_POWERS: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻ⁿ", "0123456789-n")
_UNITS: Final = (
    r"(?:square|cubic)?\s*(?:dollars?|cents?|euros?|pounds?|units?|degrees?|percent|hours?|"
    r"minutes?|seconds?|days?|weeks?|months?|years?|met(?:er|re)s?|miles?|feet|foot|inch(?:es)?|"
    r"kilomet(?:er|re)s?|centimet(?:er|re)s?|kilograms?|grams?|lit(?:er|re)s?|"
    r"km|cm|mm|kg|mph|km/h|m/s|ft|元|米|厘米|千米|公里|个|岁|天|小时|分钟|度)"
    r"(?:\s*(?:\^\{?[23]\}?|[²³]|squared|cubed))?"
)
_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d+|(?:\s*/\s*\d+))?")
_TOP_LEVEL_OR = re.compile(r"\s*,?\s*(?:\\text\{\s*(?:and|or)\s*\}|\b(?:and|or)\b|或|和)\s*")


def equal(gold: str, answer: str) -> bool:
    """Whether an answer is mathematically what it should be.

    Plain numbers are compared exactly, here. Everything else goes to math-verify
    (`verify(parse(gold), parse(answer))`) in a process of its own, so that it works on every
    thread, and a comparison that takes longer than `SECONDS` or too much memory is no match.

    Raises:
        UsageError: math-verify is needed and missing.
    """
    sides = latex(gold), latex(answer)
    if sides[0] == sides[1]:
        return True
    numbers = number(sides[0]), number(sides[1])
    if None not in numbers:
        return numbers[0] == numbers[1]
    return _judge.equal(*sides)


def number(text: str) -> Fraction | None:
    """A plain number: whole, with thousands separators, decimal, scientific, or a fraction."""
    text = latex(text)
    if not text or not _NUMBER.fullmatch(text) or not any(c.isdigit() for c in text):
        return None
    try:
        return Fraction(text.replace(",", "").replace(" ", ""))
    except (ValueError, ZeroDivisionError):
        return None


def latex(answer: str) -> str:
    """An answer in the LaTeX that the parser reads, without units, currency and text around it."""
    text = answer.strip().strip("$").strip()
    for symbol, command in _SYMBOLS.items():
        text = text.replace(symbol, command)
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻ⁿ]+", lambda m: "^{" + m[0].translate(_POWERS) + "}", text)
    text = re.sub(r"√\s*\(([^()]*)\)|√\s*(\w+)", lambda m: rf"\sqrt{{{m[1] or m[2]}}}", text)
    text = re.sub(r"(?<!\\)\bsqrt\s*\(([^()]*)\)", r"\\sqrt{\1}", text)
    text = re.sub(r"(?<![\\\w])pi\b", r"\\pi", text)
    text = re.sub(r"(?<![\\\w])(?:oo|infinity)\b", r"\\infty", text)
    text = _TOP_LEVEL_OR.sub(", ", text)
    text = re.sub(r"\\(?:text|mathrm|textbf|mbox)\s*\{[^{}]*\}(?:\s*\^\s*\{?[23]\}?)?", "", text)
    text = re.sub(rf"(?<=[\d}})\s]){_UNITS}(?![A-Za-z])\.?", "", text)
    text = re.sub(r"^[$€£¥]\s*|(?<=-)[$€£¥]\s*|\s*\\?%$|\s*\^\s*\{?\\circ\s*\}?\s*$", "", text)
    text = re.sub(r"^\s*(-?\d+)\s+(\d+)\s*/\s*(\d+)\s*$", _mixed, text)
    text = re.sub(r"(\d)\s*(?:\\times|\*|x)\s*10\s*\^\s*\{?\s*([-+]?\d+)\s*\}?", r"\1e\2", text)
    text = re.sub(r"(?<=\d)[eE]\+?(-?\d+)(?![\w{])", r"e\1", text)
    return re.sub(r"\s+", " ", text).strip(" .$")


def _mixed(match: re.Match[str]) -> str:
    """A mixed number such as 2 1/2, which a parser takes for a product."""
    whole, top, bottom = (int(part) for part in match.groups())
    sign = "-" if match[1].startswith("-") else ""
    return f"{sign}{abs(whole) * bottom + top}/{bottom}"


class _Judge:
    """The process that compares, started when first needed and again after it was ended."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[str] | None = None
        self._end: finalize[..., _Judge] | None = None

    def equal(self, gold: str, answer: str) -> bool:
        with self._lock:
            fresh = self._process is None
            process = self._start()
            assert process.stdin is not None
            assert process.stdout is not None
            pair = {"gold": f"${gold}$", "answer": f"${answer}$"}
            process.stdin.write(json.dumps(pair) + "\n")
            process.stdin.flush()
            with DefaultSelector() as selector:
                selector.register(process.stdout, EVENT_READ)
                ready = selector.select(SECONDS + (START_SECONDS if fresh else 0.0))
            line = process.stdout.readline() if ready else ""
            if not line:
                self._stop()
                return False
            return bool(json.loads(line)["equal"])

    def _start(self) -> subprocess.Popen[str]:
        if self._process is None:
            if find_spec("math_verify") is None:
                raise UsageError(
                    "Grading mathematics needs the library math-verify; install it with "
                    "pip install 'outrider[grade]'."
                )
            self._process = subprocess.Popen(
                [sys.executable, "-m", "outrider.tasks._judge"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self._end = finalize(self, _end, self._process)
        return self._process

    def _stop(self) -> None:
        if self._end is not None:
            self._end()
        self._process = self._end = None


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.wait()


_judge = _Judge()
