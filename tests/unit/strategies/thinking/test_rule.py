from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from outrider.strategies.thinking.config import Keywords, ThinkingConfig
from outrider.strategies.thinking.rule import (
    State,
    after,
    count_keywords,
    next_stretch,
    own_stretch,
    sentiment,
    taken,
)

WORDS = ("wait", "yes", "check", "verify", "confident", "so", "seven", "Hold on")
texts = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)
CONFIG = ThinkingConfig()


def test_keywords_are_counted_whatever_their_case_and_within_words() -> None:
    assert count_keywords("Wait. wait, awaited, WAIT", ("wait",)) == 4
    assert count_keywords("nothing here", ("wait", "yes")) == 0


def test_the_sign_of_a_text() -> None:
    words = CONFIG.keywords
    assert sentiment("The sum is seven.", words) == 0
    assert sentiment("Yes, that is the final answer; wait.", words) == 1
    assert sentiment("Wait, let me verify. Yes.", words) == -1
    assert sentiment("Yes, but wait.", words) == -1  # a tie above zero


@given(texts, texts)
def test_the_sign_is_the_sign_of_the_difference(one: str, two: str) -> None:
    text, words = f"{one} {two}", Keywords()
    positive = count_keywords(text, words.positive)
    against = count_keywords(text, words.negative) + count_keywords(text, words.verify)
    sign = sentiment(text, words)
    assert (sign > 0) == (positive > against)
    assert (sign == 0) == (positive == against == 0)
    assert sign in (-1, 0, 1)


@given(texts, texts)
def test_whose_version_stands(probe: str, own: str) -> None:
    assert taken(CONFIG, probe, own) == "large"
    choosy = ThinkingConfig(choose_large=False)
    small, large = sentiment(probe, CONFIG.keywords), sentiment(own, CONFIG.keywords)
    expected = "large" if (small < 0 <= large) or (small > 0 > large) else "small"
    assert taken(choosy, probe, own) == expected


@given(texts)
def test_only_a_probe_with_a_sign_calls_for_the_large_model(probe: str) -> None:
    wanted = own_stretch(CONFIG, probe)
    assert (wanted is not None) == (sentiment(probe, CONFIG.keywords) != 0)
    assert own_stretch(ThinkingConfig(consult_always=True), probe) is not None


@given(texts)
def test_what_follows_a_version_that_stands(text: str) -> None:
    first = State.first(CONFIG)
    follow, state = after(CONFIG, first, text)
    assert state.negatives == (sentiment(text, CONFIG.keywords) < 0)
    verifies = count_keywords(text, CONFIG.keywords.verify) > 0
    assert (follow is not None) == verifies
    if follow is not None:
        assert (follow.author, follow.why, follow.tokens) == ("large", "verify", 125)


def test_the_published_numbers_of_the_recaps() -> None:
    state = State.first(CONFIG)
    recaps, negatives = [], 0
    while len(recaps) < 5:
        stretch, state = next_stretch(CONFIG, state)
        if stretch.why == "recap":
            recaps.append((negatives, stretch.tokens))
            assert stretch.prefix == "Let me check whether there are some wrong steps:"
            assert state.negatives == 0
            negatives = 0
            continue
        _, state = after(CONFIG, state, "Wait")
        negatives += 1
    assert recaps == [(15, 125), (20, 150), (25, 175), (30, 200), (30, 200)]


def test_the_beginning_comes_once() -> None:
    config = ThinkingConfig(begin=True)
    stretch, state = next_stretch(config, State.first(config))
    assert (stretch.author, stretch.why, stretch.tokens) == ("large", "begin", 100)
    assert next_stretch(config, state)[0].why == "probe"
