"""Algebra: equations from x + 3 = 7 up to systems, radicals and inequalities.

Levels: 1 one step; 2 two steps; 3 the unknown on both sides; 4 brackets; 5 a fraction as solution;
6 a quadratic with whole roots; 7 a system of two equations; 8 a quadratic with roots that are
fractions; 9 a quadratic with irrational roots; 10 a system of three equations; 11 a quadratic
inequality; 12 a cubic with whole roots.
"""

from __future__ import annotations

from fractions import Fraction
from math import isqrt
from random import Random


def _nonzero(random: Random, low: int, high: int) -> int:
    return random.choice([n for n in range(low, high + 1) if n])


def term(coefficient: int, letters: str, *, first: bool = False) -> str:
    """A term with its sign as it stands in a sum; nothing where it is 0.

    `term(-3, "x")` is ` - 3x`, and with `first` it is `-3x`.
    """
    if not coefficient:
        return ""
    size = abs(coefficient)
    body = letters if size == 1 and letters else f"{size}{letters}"
    if first:
        return f"-{body}" if coefficient < 0 else body
    return f" - {body}" if coefficient < 0 else f" + {body}"


def polynomial(coefficients: tuple[int, ...]) -> str:
    """A polynomial in x with the highest power first: (1, -2, 0) is `x^2 - 2x`."""
    powers = range(len(coefficients) - 1, -1, -1)
    text = ""
    for coefficient, power in zip(coefficients, powers, strict=True):
        letters = {0: "", 1: "x"}.get(power, f"x^{power}")
        text += term(coefficient, letters, first=not text)
    return text or "0"


def _one_step(random: Random) -> tuple[str, str]:
    x, a = random.randint(1, 20), random.randint(1, 20)
    if random.random() < 0.5:
        return f"Solve for x: x + {a} = {x + a}", str(x)
    return f"Solve for x: x - {a} = {x - a}", str(x)


def _two_steps(random: Random) -> tuple[str, str]:
    x, a, b = random.randint(-9, 12), random.randint(2, 9), _nonzero(random, -15, 15)
    return f"Solve for x: {polynomial((a, b))} = {a * x + b}", str(x)


def _both_sides(random: Random) -> tuple[str, str]:
    x, a, b = random.randint(-9, 12), random.randint(3, 12), _nonzero(random, -20, 20)
    c = random.randint(1, a - 1)
    return f"Solve for x: {polynomial((a, b))} = {polynomial((c, (a - c) * x + b))}", str(x)


def _with_brackets(random: Random) -> tuple[str, str]:
    x, a, b = random.randint(-9, 12), random.randint(2, 6), _nonzero(random, -9, 9)
    c, d = random.randint(1, 5), _nonzero(random, -9, 9)
    left = f"{a}({polynomial((1, b))}){term(c, 'x')}{term(d, '')}"
    return f"Solve for x: {left} = {a * (x + b) + c * x + d}", str(x)


def _fraction(random: Random) -> tuple[str, str]:
    a, b, c = random.randint(5, 15), _nonzero(random, -20, 20), random.randint(1, 3)
    d = random.choice([n for n in range(-20, 21) if (n - b) % (a - c)])
    question = f"Solve for x: {polynomial((a, b))} = {polynomial((c, d))}"
    return f"{question}. Give the exact value.", str(Fraction(d - b, a - c))


def _roots(values: set[Fraction]) -> str:
    return ", ".join(str(value) for value in sorted(values))


def _whole_roots(random: Random) -> tuple[str, str]:
    p, q = _nonzero(random, -9, 9), _nonzero(random, -9, 9)
    return (
        f"Find all solutions of {polynomial((1, -p - q, p * q))} = 0",
        _roots({Fraction(p), Fraction(q)}),
    )


def _two_unknowns(random: Random) -> tuple[str, str]:
    x, y = random.randint(-9, 9), random.randint(-9, 9)
    a, b, c = (_nonzero(random, -6, 6) for _ in range(3))
    d = random.choice([n for n in range(-6, 7) if n and a * n != b * c])
    equations = " and ".join(
        f"{term(p, 'x', first=True)}{term(q, 'y')} = {p * x + q * y}" for p, q in ((a, b), (c, d))
    )
    return f"Solve for x and y: {equations}. Give the answer as (x, y).", f"({x}, {y})"


def _fraction_roots(random: Random) -> tuple[str, str]:
    a, b = random.randint(2, 7), random.randint(1, 5)
    p = random.choice([n for n in range(-11, 12) if n % a])
    q = _nonzero(random, -9, 9)
    coefficients = (a * b, -(a * q + b * p), p * q)
    return (
        f"Find all solutions of {polynomial(coefficients)} = 0. Give exact values.",
        _roots({Fraction(p, a), Fraction(q, b)}),
    )


def _irrational_roots(random: Random) -> tuple[str, str]:
    half = _nonzero(random, -12, 12)
    under = random.choice([n for n in range(2, 60) if isqrt(n) ** 2 != n])
    return (
        f"Find all solutions of {polynomial((1, -2 * half, half * half - under))} = 0. "
        "Give exact values.",
        rf"{half} + \sqrt{{{under}}}, {half} - \sqrt{{{under}}}",
    )


def _three_unknowns(random: Random) -> tuple[str, str]:
    values = [random.randint(-6, 6) for _ in range(3)]
    while True:
        rows = [[random.randint(-4, 4) for _ in range(3)] for _ in range(3)]
        (a, b, c), (d, e, f), (g, h, i) = rows
        if a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g):
            break
    equations = []
    for row in rows:
        left = ""
        for coefficient, letter in zip(row, "xyz", strict=True):
            left += term(coefficient, letter, first=not left)
        equations.append(f"{left} = {sum(a * v for a, v in zip(row, values, strict=True))}")
    return (
        f"Solve for x, y and z: {', '.join(equations)}. Give the answer as (x, y, z).",
        "({}, {}, {})".format(*values),
    )


def _inequality(random: Random) -> tuple[str, str]:
    p, q = sorted(random.sample(range(-20, 21), 2))
    left = polynomial((1, -p - q, p * q))
    asked = "Give the solution set as an interval or a union of intervals."
    if random.random() < 0.5:
        return f"Solve {left} < 0 for x. {asked}", f"({p}, {q})"
    return f"Solve {left} > 0 for x. {asked}", rf"(-\infty, {p}) \cup ({q}, \infty)"


def _cubic(random: Random) -> tuple[str, str]:
    p, q, r = random.sample([n for n in range(-12, 13) if n], 3)
    coefficients = (1, -p - q - r, p * q + q * r + p * r, -p * q * r)
    return (
        f"Find all solutions of {polynomial(coefficients)} = 0",
        _roots({Fraction(p), Fraction(q), Fraction(r)}),
    )


ALGEBRA = (
    _one_step,
    _two_steps,
    _both_sides,
    _with_brackets,
    _fraction,
    _whole_roots,
    _two_unknowns,
    _fraction_roots,
    _irrational_roots,
    _three_unknowns,
    _inequality,
    _cubic,
)
"""The makers, from level 1 up."""
