"""What a run of answers leaves: a line for each question, and facts about the run beside them.

`answers.jsonl` holds the lines, in the order in which they were answered; `answers.run.json` holds
the facts. Whatever answers questions writes these, and `outrider evaluate` reads them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from outrider.errors import UsageError
from outrider.files import read_text
from outrider.types import FinishReason

COUNTERS: Final = ("draft_tokens", "accepted_tokens")
"""The counters of `Usage` that the report of a run needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One question and what was answered.

    Attributes:
        id: what the file of questions calls it.
        question: as it was asked, without the profile's text.
        subject: what the profile assigned it to.
        answer: what was extracted; None where nothing was found.
        text: all that the model wrote.
        gold: the known answer; None where there is none.
        aliases: other ways to write the known answer.
        choices: the answers to choose from, named A, B, ..., where the question has them.
        seconds: from asking to the last token.
        tokens: generated.
        finish_reason: why it ended; "length" is a cut at the token limit.
        error: the sentence that says what went wrong, where finish_reason is "error".
        profile: the name of the profile.
        usage: counters of the completion, `COUNTERS` among them.
    """

    id: str
    question: str
    subject: str
    answer: str | None
    text: str
    gold: str | None = None
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    seconds: float
    tokens: int
    finish_reason: FinishReason
    error: str | None = None
    profile: str
    usage: Mapping[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """The record as a line of JSON, its end included."""
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What holds for a run as a whole.

    Attributes:
        profile: the name of the profile.
        model: as it was named.
        total_seconds: of the clock, from the first question to the last, loading left out; a run
            that was continued counts the time of its parts.
        speculation: whether it was on.
        machine: processor, cores and memory, as in every record.
        versions: of Outrider and its libraries.
        more: whatever else is worth keeping.
    """

    profile: str
    model: str
    total_seconds: float
    speculation: bool = True
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    def write(self, answers: Path) -> None:
        """Puts the facts beside the answers' file, in one step."""
        text = json.dumps(asdict(self), ensure_ascii=False, indent=2)
        target = facts_path(answers)
        draft = target.with_name(f".{target.name}.part")
        draft.write_text(text + "\n", encoding="utf-8")
        draft.replace(target)


def facts_path(answers: Path) -> Path:
    """Where the facts of a run are kept: answers.jsonl has answers.run.json beside it."""
    return answers.with_suffix(".run.json")


def read_answers(path: Path) -> list[Answered]:
    """The answers of a run, which may still be going on: a last line cut short is left out.

    Raises:
        UsageError: the file cannot be read, or has a line that is no answer.
    """
    lines = read_text(path, str(path)).split("\n")
    answers = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            answers.append(_answered(json.loads(line)))
        except (ValueError, TypeError) as error:
            if number == len(lines):  # no end of line: it was being written
                break
            raise UsageError(f"Line {number} of {path} is no answer: {error}.") from error
    return answers


def read_facts(answers: Path) -> RunFacts | None:
    """The facts beside the answers' file; None where there are none.

    Raises:
        UsageError: the file is not what it should be.
    """
    path = facts_path(answers)
    if not path.exists():
        return None
    try:
        return RunFacts(**json.loads(read_text(path, str(path))))
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} holds no facts of a run: {error}.") from error


def _answered(values: dict[str, Any]) -> Answered:
    known = {f.name for f in fields(Answered)}
    values = {key: value for key, value in values.items() if key in known}
    for key in ("aliases", "choices"):
        values[key] = tuple(values.get(key, ()))
    return Answered(**values)
