from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outrider.cli.acceptance import picture
from outrider.cli.palette import Palette
from outrider.types import Usage, summed

ANSI = re.compile(r"\x1b\[[0-9;]*m")


def test_a_picture() -> None:
    usage = Usage(
        steps=20, draft_steps=16, plain_steps=3, empty_steps=1, draft_tokens=60,
        accepted_tokens=24, accepted_per_position=[12, 8, 4], draft_ms=1.26, pass_ms=100.0,
        sampling_ms=4.0, rest_ms=2.0, saved_ms=88.04,
    )  # fmt: skip
    sources = Counter({"ngram": 18, "recycle": 6, None: 20})
    lines = picture(usage, sources, Palette(False), block="#")
    assert (
        "\n".join(lines)
        == """\
tokens by source
  [n|ngram]       18  41% ####################################
  [r|recycle]      6  14% ############
  the model       20  45% ########################################

accepted by position, of 16 drafts
   1     12  75% ##############################
   2      8  50% ####################
   3      4  25% ##########

2.20 tokens a pass, 4.00 rows a pass, 40% of drafted tokens accepted
passes: 16 with a draft, 3 plain on purpose, 1 without a guess
saved 88.0 ms against plain decoding, as the cost curve puts it
took 107 ms: drafting 1.3, passes 100, sampling 4.0, rest 2.0"""
    )


def test_losses_are_called_so_and_many_positions_are_one_line() -> None:
    usage = Usage(
        steps=1, draft_steps=1, draft_tokens=20, accepted_tokens=15,
        accepted_per_position=[1] * 15, saved_ms=-3.0,
    )  # fmt: skip
    text = "\n".join(picture(usage, Counter({"model": 15, None: 1}), Palette(False)))
    assert "of 1 draft\n" in text
    assert "  12      1 100% " in text
    assert "  3 tokens more, the last one at position 15\n" in text
    assert "lost 3.0 ms" in text
    nothing = Usage(steps=1, draft_steps=1, draft_tokens=2)
    assert "  none was" in picture(nothing, Counter({None: 1}), Palette(False))


usages = st.builds(
    Usage,
    completion_tokens=st.integers(0, 10**6),
    steps=st.integers(10**5, 10**6),
    draft_steps=st.integers(1, 10**5),
    plain_steps=st.integers(0, 10**5),
    empty_steps=st.integers(0, 10**5),
    draft_tokens=st.integers(1, 10**6),
    accepted_tokens=st.integers(0, 10**6),
    accepted_per_position=st.lists(st.integers(0, 10**5), max_size=30),
    draft_ms=st.floats(0, 1e5),
    pass_ms=st.floats(0, 1e5),
    sampling_ms=st.floats(0, 1e5),
    rest_ms=st.floats(0, 1e5),
    saved_ms=st.floats(-1e6, 1e6),
)
names = st.none() | st.sampled_from(["ngram", "early_exit", "a_drafter_with_a_rather_long_name"])
sources = st.dictionaries(names, st.integers(1, 10**6), min_size=1).map(Counter)


@given(usages, sources, st.booleans())
@example(
    usage=Usage(steps=1, draft_steps=1), sources=Counter({None: 10**7, "a" * 35: 1}), colours=False
)
def test_a_picture_fits_eighty_columns(usage: Usage, sources, colours: bool) -> None:
    usage.accepted_per_position = [min(n, usage.draft_steps) for n in usage.accepted_per_position]
    lines = picture(usage, sources, Palette(colours))
    assert max(len(ANSI.sub("", line)) for line in lines) <= 80
    assert all("\x1b" not in line for line in lines) or colours


@given(st.lists(usages, max_size=4))
def test_a_total_is_the_sum(parts: list[Usage]) -> None:
    whole = summed(parts)
    assert whole.draft_tokens == sum(usage.draft_tokens for usage in parts)
    assert whole.saved_ms == pytest.approx(sum(usage.saved_ms for usage in parts), abs=1e-6)
    assert sum(whole.accepted_per_position) == sum(sum(u.accepted_per_position) for u in parts)
    longest = max((len(u.accepted_per_position) for u in parts), default=0)
    assert len(whole.accepted_per_position) == longest
    assert whole.note is None
