"""What drafts of other fixed lengths would have done, from answers that are known.

Under coupled verification the answer is the same whatever is drafted, so a drafter that needs no
logits can be asked anew at every length. Of one that computes, the accepted tokens by position say
what shorter chains would have brought.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from outrider.lab.prediction import Ride
from outrider.replay import Logged, replay_each


def shortened(ride: Ride, length: int) -> Ride:
    """A ride with chains of one length, had they been shorter.

    E(k) = 1 + (accepted at positions 1 … k) / (drafts made), and tokens / E(k) passes are needed.
    Drafting takes as long for each token, the rest for each pass, and choosing for each token
    gained, as before.

    Args:
        ride: with chains of at least this length at every step, but for the end of the answer.
        length: k, at least 1.
    """
    drafts = ride.steps - ride.passes.get(1, 0.0)
    if not drafts:
        return ride
    gained = 1.0 + sum(ride.by_position[:length]) / drafts
    steps = ride.tokens / gained
    return replace(
        ride,
        passes={length + 1: steps},
        draft_ms=ride.draft_ms / ride.drafted * length * steps,
        rest_ms=ride.rest_ms / ride.steps * steps,
        drafted=length * steps,
        accepted=(gained - 1.0) * steps,
        by_position=tuple(count / drafts * steps for count in ride.by_position[:length]),
    )


def replayed(
    rides: Sequence[Ride],
    answers: Sequence[Logged],
    spec: str,
    length: int,
    *,
    vocab_size: int,
    trees: bool,
) -> list[Ride]:
    """Rides with drafts of one size, by asking the drafter again over the answers.

    As in the rides, the drafter knows the answers before. A step's drafting and rest take what they
    took in the ride that was made, and choosing takes as long for each token.

    Args:
        rides: by the same drafter, whatever its controller.
        answers: to the same prompts, in the same order.
        spec: the drafter.
        length: nodes of a draft at most.
        vocab_size: tokens in the vocabulary.
        trees: whether drafts may branch.

    Raises:
        UsageError: the drafter does not exist or has a wrong option.
        OutriderError: it needs the model's logits.
    """
    replays = replay_each(answers, spec, length, vocab_size=vocab_size, trees=trees)
    found = []
    for ride, again in zip(rides, replays, strict=True):
        per_step = again.passes / ride.steps if ride.steps else 0.0
        found.append(
            replace(
                ride,
                passes=dict(again.rows),
                draft_ms=ride.draft_ms * per_step,
                rest_ms=ride.rest_ms * per_step,
                drafted=again.drafted,
                accepted=again.accepted,
                by_position=(),
            )
        )
    return found
