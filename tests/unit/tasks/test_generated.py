from __future__ import annotations

import re
from collections import Counter

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from outrider import tasks
from outrider.tasks import Problem
from outrider.tasks.algebra import ALGEBRA, polynomial
from outrider.tasks.arithmetic import ARITHMETIC
from outrider.tasks.latex import latex

X, Y, Z = sympy.symbols("x y z")


def parse(text: str) -> sympy.Expr:
    text = re.sub(r"(\d|\))\s*([xyz(])", r"\1*\2", text.replace("^", "**"))
    return sympy.sympify(text, locals={"x": X, "y": Y, "z": Z})


def numbers(answer: str) -> set[sympy.Expr]:
    answer = re.sub(r"\\sqrt\{(\d+)\}", r"sqrt(\1)", answer)
    return {sympy.sympify(part) for part in answer.split(",")}


def solved(problem: Problem) -> bool:
    """Whether the known answer solves the problem, by sympy's own solution of the question."""
    asked = problem.question
    if "interval" in asked:
        left, sign = re.search(r"Solve (.+) ([<>]) 0", asked).groups()
        found = sympy.solve_univariate_inequality(
            parse(left) < 0 if sign == "<" else parse(left) > 0, X, relational=False
        )
        p, q = sorted(sympy.solve(parse(left), X))
        wanted = f"({p}, {q})" if sign == "<" else rf"(-\infty, {p}) \cup ({q}, \infty)"
        gaps = sympy.Interval.open(p, q)
        outside = sympy.Union(sympy.Interval.open(-sympy.oo, p), sympy.Interval.open(q, sympy.oo))
        return found == (gaps if sign == "<" else outside) and problem.answer == wanted
    equations = re.findall(
        r"([-+*^() \dxyz]+) = ([-+*^() \dxyz]+)", asked.partition(": ")[2] or asked
    )
    equations = equations or re.findall(r"of (.+) = (\d+)", asked)
    pairs = [parse(left.strip().removeprefix("and ")) - parse(right) for left, right in equations]
    if len(pairs) == 1:
        return set(sympy.solve(pairs[0], X)) == numbers(problem.answer)
    unknowns = [X, Y, Z][: len(pairs)]
    values = [sympy.Integer(part) for part in problem.answer.strip("()").split(",")]
    return sympy.solve(pairs, unknowns) == dict(zip(unknowns, values, strict=True))


@pytest.mark.parametrize("level", range(1, len(ALGEBRA) + 1))
def test_sympy_finds_the_known_answer_of_algebra(level: int) -> None:
    for problem in tasks.load(f"algebra:count=6,level={level},seed=11").problems:
        assert problem.level == level
        assert solved(problem), problem


@pytest.mark.parametrize("level", range(1, len(ARITHMETIC) + 1))
def test_sympy_finds_the_known_answer_of_arithmetic(level: int) -> None:
    for problem in tasks.load(f"arithmetic:count=20,level={level},seed=11").problems:
        expression = re.search(r"What is (.+)\?", problem.question)[1]
        assert sympy.sympify(expression, rational=True) == sympy.Rational(problem.answer), problem


@pytest.mark.parametrize("kind", ["arithmetic", "algebra"])
def test_a_longer_task_begins_with_a_shorter_one(kind: str) -> None:
    short, long = (tasks.load(f"{kind}:count={n},seed=5").problems for n in (30, 60))

    assert long[:30] == short
    assert tasks.load(f"{kind}:count=30", seed=5).problems == short
    assert tasks.load(f"{kind}:count=30,seed=6").problems != short


def test_levels_take_turns() -> None:
    problems = tasks.load("arithmetic:count=12,levels=2-5").problems

    assert [p.level for p in problems[:5]] == [2, 3, 4, 5, 2]
    assert set(Counter(p.level for p in problems).values()) == {3}


def test_hard_levels_hardly_repeat_themselves() -> None:
    problems = tasks.load("algebra:count=500,levels=7-12").problems

    assert len({p.question for p in problems}) > 490


@pytest.mark.parametrize("kind", ["arithmetic", "algebra"])
def test_known_answers_are_graded_right_and_others_wrong(kind: str) -> None:
    task = tasks.load(f"{kind}:count=24,seed=2")

    for problem in task.problems:
        assert task.grade(problem, f"Final Answer: {problem.answer}").correct, problem
        assert not task.grade(problem, r"\boxed{1/97}").correct


@settings(max_examples=50)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=4))
def test_polynomials_are_written_as_they_are_read(coefficients: list[int]) -> None:
    wanted = sum(c * X**n for n, c in enumerate(reversed(coefficients)))

    assert sympy.expand(parse(polynomial(tuple(coefficients))) - wanted) == 0
    assert latex(polynomial(tuple(coefficients)))
