"""Whether servers say the same."""

from __future__ import annotations

import pytest
from remote.talkers import asked, talking

from outrider.certify.servers import certify_servers
from outrider.errors import UsageError
from outrider.prompts import Prompt

PROMPTS = [Prompt(index, (text,)) for index, text in enumerate(("one", "two", "three"))]
SAID = {"one": "it is one", "two": "two of them all", "three": "three"}


def test_servers_that_say_the_same_are_identical() -> None:
    first, other = talking("a", SAID), talking("b", SAID)
    told: list[tuple[int, int]] = []

    found = certify_servers(
        [first, other], PROMPTS, progress=lambda done, total: told.append((done, total))
    )

    assert [cell.status for cell in found.cells] == ["identical", "identical"]
    assert found.exit_status == 0
    assert (found.cells[1].checked, found.cells[1].tokens) == (3, 8)
    assert not found.cells[1].counts_drafts
    assert asked(first) == ["one", "one", "two", "two", "three", "three"]
    assert told == [(done, 9) for done in range(1, 10)]


@pytest.mark.parametrize("concurrency", [1, 2, 5])
def test_a_difference_is_found_with_how_near_it_was(concurrency: int) -> None:
    other = talking("b", SAID | {"two": "two of us"})

    found = certify_servers(
        [talking("a", SAID, margin=0.125), other], PROMPTS, concurrency=concurrency
    )

    assert found.exit_status == 1
    (failure,) = found.cells[1].failures
    assert (failure.difference.prompt, failure.difference.position) == (1, 7)
    assert (failure.difference.first, failure.difference.other) == ("them all", "us")
    assert failure.repeats
    assert failure.margin == pytest.approx(0.125)


def test_an_answer_that_ends_earlier_is_a_difference_without_a_margin() -> None:
    found = certify_servers(
        [talking("a", SAID), talking("b", SAID | {"one": "it is one more"})], PROMPTS
    )

    (failure,) = found.cells[1].failures
    assert (failure.difference.first, failure.difference.other) == ("", " more")
    assert failure.margin is None


def test_what_the_first_server_does_not_repeat_shows_nothing() -> None:
    unsteady = talking("a", SAID | {"two": ["two of them all", "two of us"]})

    found = certify_servers([unsteady, talking("b", SAID | {"two": "two of you"})], PROMPTS)

    assert found.unsteady == (1,)
    assert found.cells[1].status == "inconclusive"
    assert found.exit_status == 2


@pytest.mark.parametrize(
    ("drafts", "status"),
    [((200, 100), "identical"), ((100, 100), "inconclusive"), ((90, 10), "inconclusive")],
)
def test_too_few_drafts_show_nothing(drafts: tuple[int, int], status: str) -> None:
    found = certify_servers([talking("a", SAID), talking("b", SAID, drafts=drafts)], PROMPTS)

    cell = found.cells[1]
    assert (cell.accepted, cell.rejected) == (3 * drafts[1], 3 * (drafts[0] - drafts[1]))
    assert cell.status == status


def test_one_server_is_held_against_nothing() -> None:
    with pytest.raises(UsageError, match="name two or more endpoints"):
        certify_servers([talking("a", SAID)], PROMPTS)
    with pytest.raises(UsageError, match="concurrency has to be at least 1"):
        certify_servers([talking("a", SAID), talking("b", SAID)], PROMPTS, concurrency=0)
