from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.errors import UsageError
from outrider.lab.halves import halves
from outrider.prompts import Prompt


@given(st.lists(st.sampled_from(["code", "story", "maths", None]), min_size=2, max_size=40))
def test_halves_are_disjoint_complete_and_stratified(categories):
    prompts = [Prompt(i, ("text",), category) for i, category in enumerate(categories)]
    fitted, others = halves(prompts)

    assert sorted(p.index for p in (*fitted, *others)) == list(range(len(prompts)))
    assert 0 <= len(fitted) - len(others) <= 1
    one, other = (Counter(p.category for p in half) for half in (fitted, others))
    assert all(abs(one[category] - other[category]) <= 1 for category in set(categories))


def test_one_prompt_cannot_be_halved():
    with pytest.raises(UsageError, match="cannot be halved; give at least two"):
        halves([Prompt(0, ("text",))])
