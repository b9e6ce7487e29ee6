"""Answers as people and models write them, brought to the LaTeX that a parser reads."""

from __future__ import annotations

import re
from typing import Final

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
}
_POWERS: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻ⁿ", "0123456789-n")
_UNITS: Final = (
    r"(?:square|cubic)?\s*(?:dollars?|cents?|euros?|pounds?|units?|degrees?|percent|hours?|"
    r"minutes?|seconds?|days?|weeks?|months?|years?|met(?:er|re)s?|miles?|feet|foot|inch(?:es)?|"
    r"kilomet(?:er|re)s?|centimet(?:er|re)s?|kilograms?|grams?|lit(?:er|re)s?|"
    r"km|cm|mm|kg|mph|km/h|m/s|ft|元|米|厘米|千米|公里|个|岁|天|小时|分钟|度)"
    r"(?:\s*(?:\^\{?[23]\}?|[²³]|squared|cubed))?"
)
_WORDED = re.compile(r"\\(?:text|mathrm|textbf|mbox)\s*\{([^{}]*)\}(?:\s*\^\s*\{?[23]\}?)?")
_CONNECTIVE = re.compile(r"\s*,?\s*(?:\\text\{\s*(and|or)\s*\}|\b(and|or)\b|(或)|(和|且))\s*")
_ORDER: Final = {"<": "<", ">": ">", r"\le": "<=", r"\ge": ">=", "<=": "<=", ">=": ">="}
_RELATION = re.compile(r"\s*(<=|>=|<|>|\\le(?![a-z])|\\ge(?![a-z]))\s*")


def latex(answer: str) -> str:
    """An answer in the LaTeX that the parser reads, without units, currency and text around it.

    Inequalities become intervals, and what `±` abbreviates is written out.
    """
    text = answer.strip()
    for symbol, command in _SYMBOLS.items():
        text = text.replace(symbol, command)
    text = re.sub(r"(?<!\\)\\([ ,;!$])", lambda m: "" if m[1] in "!$" else " ", text)
    text = text.replace("{,}", ",").replace("$", "")
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻ⁿ]+", lambda m: "^{" + m[0].translate(_POWERS) + "}", text)
    text = re.sub(r"√\s*\(([^()]*)\)|√\s*(\w+)", lambda m: rf"\sqrt{{{m[1] or m[2]}}}", text)
    text = re.sub(r"(?<!\\)\bsqrt\s*\(([^()]*)\)", r"\\sqrt{\1}", text)
    text = re.sub(r"(?<![\\\w])pi\b", r"\\pi", text)
    text = re.sub(r"(?<![\\\w])(?:oo|infinity)\b", r"\\infty", text)
    if re.fullmatch(r"-?\d{1,3}(?: \d{3})+(?:\.\d+)?", text):
        text = text.replace(" ", "")
    text = _interval(text) or _CONNECTIVE.sub(", ", text)
    # Words behind a number are its unit; words alone are the answer.
    text = _WORDED.sub("", text) or _WORDED.sub(r"\1", text)
    text = re.sub(rf"(?<=[\d}})\s]){_UNITS}(?![A-Za-z])\.?", "", text)
    text = re.sub(r"^[$€£¥]\s*|(?<=-)[$€£¥]\s*|\s*\\?%$|\s*\^\s*\{?\\circ\s*\}?\s*$", "", text)
    text = re.sub(r"^\s*(-?\d+)\s+(\d+)\s*/\s*(\d+)\s*$", _mixed, text)
    text = re.sub(r"(\d)\s*(?:\\times|\*|x)\s*10\s*\^\s*\{?\s*([-+]?\d+)\s*\}?", r"\1e\2", text)
    if r"\pm" in text:
        text = ", ".join(re.sub(r"\\pm(?![a-z])", sign, text) for sign in "+-")
    return re.sub(r"\s+", " ", text).strip(" .$")


def _mixed(match: re.Match[str]) -> str:
    """A mixed number such as 2 1/2, which a parser takes for a product."""
    whole, top, bottom = (int(part) for part in match.groups())
    sign = "-" if match[1].startswith("-") else ""
    return f"{sign}{abs(whole) * bottom + top}/{bottom}"


def _interval(text: str) -> str | None:
    """The intervals that inequalities in one unknown describe; None where there are none."""
    pieces = _CONNECTIVE.split(text)
    parts, words = (
        pieces[::5],
        ["".join(filter(None, pieces[n : n + 4])) for n in range(1, len(pieces), 5)],
    )
    intervals = [_one_interval(part) for part in parts]
    if None in intervals:
        return None
    joined = intervals[0] or ""
    for word, interval in zip(words, intervals[1:], strict=True):
        joined += rf" \cup {interval}" if word in ("or", "或") else rf" \cap {interval}"
    return joined


def _one_interval(text: str) -> str | None:
    r"""`-1 < x \le 4` as `(-1, 4]`; None where it is no inequality in one unknown."""
    sides = _RELATION.split(text.strip().strip("$"))
    sides, signs = sides[::2], [_ORDER[sign] for sign in sides[1::2]]
    if signs and signs[0][0] == ">":  # the smaller side first
        sides, signs = sides[::-1], [sign.replace(">", "<") for sign in reversed(signs)]
    if not signs or any(sign[0] != "<" for sign in signs):
        return None
    unknown = [n for n, side in enumerate(sides) if re.fullmatch(r"[A-Za-z]", side.strip())]
    if len(unknown) != 1 or len(sides) > 3 or (len(sides) == 3 and unknown != [1]):
        return None
    at = unknown[0]
    low = (signs[at - 1], sides[at - 1]) if at else ("<", r"-\infty")
    high = (signs[at], sides[at + 1]) if at + 1 < len(sides) else ("<", r"\infty")
    opening, closing = "[" if low[0] == "<=" else "(", "]" if high[0] == "<=" else ")"
    return f"{opening}{low[1].strip()}, {high[1].strip()}{closing}"
