"""`outrider think`: a small model reasons, a large one is called in."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from outrider.cli.options import (
    AcceptTerms,
    Json,
    Raw,
    SamplingOptions,
    SpeculationOptions,
    command,
)
from outrider.cli.output import AnswerWriter, has_colours, note, print_json, warn
from outrider.cli.pair import PairOptions, Side, open_pair
from outrider.cli.records import usage_record
from outrider.errors import OutriderError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outrider.strategies.thinking import ThinkingRecord

COLOURS: Final = {"small": None, "large": "green", "inserted": "yellow"}
"""How each author's text looks where there are colours."""


@command
def think(
    question: Annotated[str, typer.Argument(help="What to think about; - reads it.")],
    *,
    pair: PairOptions,
    sampling: SamplingOptions,
    speculation: SpeculationOptions,
    raw: Raw = False,
    accept_terms: AcceptTerms = False,
    json: Json = False,
) -> None:
    """Answer with two models: a small one reasons, a large one is called in.

    At a paragraph's end the small model writes a short probe. Where the probe hesitates, agrees or
    checks, the large model writes the next stretch in its place. The answer is not the large
    model's own; `outrider bench thinking` measures what that costs and brings. On a terminal the
    large model's text is green. How tokens are drafted (--drafter and what belongs to it) holds for
    both models, where they run here.
    """
    from outrider.settings import make_request  # noqa: PLC0415
    from outrider.strategies.thinking import Thinking  # noqa: PLC0415
    from outrider.types import Message  # noqa: PLC0415

    text = sys.stdin.read().removesuffix("\n") if question == "-" else question
    if not text:
        raise UsageError("The question is empty; write what to think about.")
    config = pair.thinking()
    settings = {"max_tokens": None, **sampling.settings()}
    request = make_request(text if raw else [Message("user", text)], settings)
    sides: tuple[Side, ...] = ("small", "large")
    with open_pair(pair, config, sides, speculation, accept_terms=accept_terms) as (names, models):
        stream = Thinking(models["small"], models["large"], config).stream(request)
        writer, colours = AnswerWriter(), has_colours()
        for event in stream:
            if not json:
                colour = COLOURS.get(event.author or "") if colours else None
                writer.write(event.text, colour)
        if not json:
            writer.finish()
        done, record = stream.completion, stream.record
        if json:
            print_json(
                {
                    "small": names["small"],
                    "large": names["large"],
                    "config": config.record(),
                    "settings": sampling.settings(),
                    "seed": done.seed,
                    "text": done.text,
                    "finish_reason": done.finish_reason,
                    "usage": usage_record(done.usage),
                    "record": record.record(),
                }
            )
        else:
            for line in summary(record, names):
                note(line)
    if record.ended_by == "time_out":
        warn(f"The time limit of {config.time_out:g} s has ended the answer.")
    if record.ended_by == "error":
        raise OutriderError(record.error or "A model has failed.")


def summary(record: ThinkingRecord, names: Mapping[Side, str]) -> list[str]:
    """What the answer took, in lines of at most 80 cells but for names."""
    total = record.tokens()
    small, large = record.tokens("small"), record.tokens("large")
    rejected = record.small.rejected_tokens + record.large.rejected_tokens
    rate = total / record.seconds if record.seconds > 0 else 0.0
    lines = [
        f"{total} tokens in {record.seconds:.1f} s, {rate:.1f}/s · "
        f"large model called {record.validations} times · {rejected} tokens rejected "
        f"({record.rejected_share:.0%})",
        f"small {names['small']}: {small} tokens, {record.small.seconds:.1f} s",
        f"large {names['large']}: {large} tokens ({record.large_ratio:.0%}), "
        f"{record.large.seconds:.1f} s",
    ]
    if inserted := record.tokens("inserted"):
        lines.append(f"inserted: {inserted} tokens")
    return lines
