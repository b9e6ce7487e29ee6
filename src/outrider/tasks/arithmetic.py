"""Arithmetic: expressions from a sum of two digits up to fractions in nested brackets.

Levels: 1 sums of two digits; 2 differences, of which none is negative; 3 sums and differences of
two-digit numbers; 4 products of two digits; 5 a product and a sum; 6 brackets; 7 sums and products
of larger numbers; 8 nested brackets; 9 divisions with a fraction as result; 10 nested brackets
with fractions.
"""

from __future__ import annotations

from fractions import Fraction
from random import Random


def _asked(expression: str, value: Fraction | int) -> tuple[str, str]:
    return f"What is {expression}?", str(value)


def _sum(random: Random) -> tuple[str, str]:
    a, b = random.randint(1, 9), random.randint(1, 9)
    return _asked(f"{a} + {b}", a + b)


def _difference(random: Random) -> tuple[str, str]:
    a, b = random.randint(2, 20), random.randint(1, 9)
    a, b = max(a, b), min(a, b)
    return _asked(f"{a} - {b}", a - b)


def _two_digits(random: Random) -> tuple[str, str]:
    a, b = random.randint(10, 99), random.randint(10, 99)
    return _asked(f"{a} + {b}", a + b) if random.random() < 0.5 else _asked(f"{a} - {b}", a - b)


def _product(random: Random) -> tuple[str, str]:
    a, b = random.randint(2, 12), random.randint(2, 12)
    return _asked(f"{a} * {b}", a * b)


def _product_and_sum(random: Random) -> tuple[str, str]:
    a, b, c = random.randint(2, 9), random.randint(2, 9), random.randint(1, 30)
    if random.random() < 0.5:
        return _asked(f"{c} + {a} * {b}", c + a * b)
    return _asked(f"{a} * {b} - {c}", a * b - c)


def _brackets(random: Random) -> tuple[str, str]:
    return _asked(*_nested(random, depth=2, largest=12, divide=False))


def _large(random: Random) -> tuple[str, str]:
    a, b, c = random.randint(100, 999), random.randint(12, 99), random.randint(1000, 9999)
    return _asked(f"{a} * {b} + {c}", a * b + c)


def _deep(random: Random) -> tuple[str, str]:
    return _asked(*_nested(random, depth=4, largest=20, divide=False))


def _division(random: Random) -> tuple[str, str]:
    a, b, c, d = (random.randint(2, 30) for _ in range(4))
    value = Fraction(a, b) + Fraction(c, d)
    question, answer = _asked(f"{a}/{b} + {c}/{d}", value)
    return f"{question} Give the exact value in lowest terms.", answer


def _deep_fractions(random: Random) -> tuple[str, str]:
    question, answer = _asked(*_nested(random, depth=4, largest=15, divide=True))
    return f"{question} Give the exact value in lowest terms.", answer


def _nested(random: Random, *, depth: int, largest: int, divide: bool) -> tuple[str, Fraction]:
    """An expression whose longest chain of brackets has `depth` operations, and its value."""
    if depth == 0:
        number = random.randint(1, largest)
        return str(number), Fraction(number)
    left, a = _nested(random, depth=depth - 1, largest=largest, divide=divide)
    right, b = _nested(
        random, depth=random.randint(0, min(depth - 1, 1)), largest=largest, divide=divide
    )
    operator = random.choice("+-*/" if divide else "+-*")
    if operator == "/" and b == 0:
        operator = "+"
    value = {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else a}[operator]
    left, right = (f"({side})" if " " in side else side for side in (left, right))
    return f"{left} {operator} {right}", value


ARITHMETIC = (
    _sum,
    _difference,
    _two_digits,
    _product,
    _product_and_sum,
    _brackets,
    _large,
    _deep,
    _division,
    _deep_fractions,
)
"""The makers, from level 1 up."""
