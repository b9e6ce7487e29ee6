"""`outrider chat`: a conversation, typed or piped in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from outrider.cli.draft_debug import DraftDebug
from outrider.cli.options import (
    AcceptTerms,
    CacheOptions,
    DraftLines,
    Json,
    MachineOptions,
    SamplingOptions,
    SpeculationOptions,
    System,
    command,
)
from outrider.cli.output import AnswerWriter, note, print_json, summary, warn
from outrider.cli.records import completion_record
from outrider.cli.session import load_model, model_record
from outrider.errors import OutriderError, SamplingError, UsageError, unknown_name

if TYPE_CHECKING:
    from outrider.llm import LLM
    from outrider.types import Completion, Message

COMMANDS = {
    "/help": "show these commands",
    "/reset": "forget the conversation",
    "/system": "/system TEXT sets the system message and forgets the conversation",
    "/exit": "end, as Ctrl-D does",
}


@command
def chat(
    *,
    machine: MachineOptions,
    sampling: SamplingOptions,
    system: System = None,
    cache: CacheOptions,
    speculation: SpeculationOptions,
    draft_debug: DraftLines = False,
    accept_terms: AcceptTerms = False,
    json: Json = False,
) -> None:
    """Talk with a model.

    Every line is a message. Ctrl-C stops an answer; at the prompt it ends the conversation. /help
    shows the commands.
    """
    typed = sys.stdin.isatty()
    # An answer may take what the context leaves; it can be stopped at any time.
    settings = {"max_tokens": None} | sampling.settings()
    with load_model(machine, cache, speculation, accept_terms=accept_terms) as llm:
        if not llm.has_chat_template:
            raise UsageError(
                f"{machine.model} has no chat template, so it cannot chat; use `outrider generate`."
            )
        if typed:
            note(f"{llm.model.name} · /help for commands, Ctrl-D to end")
        debug = DraftDebug(draft_debug)
        conversation = Conversation(llm, settings, system, debug, show=not json)
        for line in _lines(typed):
            try:
                if not conversation.take(line):
                    break
            except OutriderError as error:
                # Who types can say it another way; who pipes has to know.
                if not typed:
                    raise
                warn(f"error: {error}")
        debug.finish(conversation.answers)
        if json:
            print_json(conversation.record(machine.model))


class Conversation:
    """What was said so far, and what is done with a line.

    Args:
        llm: who answers.
        settings: of every answer.
        system: the system message, or None.
        debug: told of every pass.
        show: write answers to standard output as they come.

    Attributes:
        answers: those of every conversation there was.
        messages: of the conversation at hand.
    """

    def __init__(
        self,
        llm: LLM,
        settings: dict[str, Any],
        system: str | None,
        debug: DraftDebug,
        *,
        show: bool,
    ) -> None:
        self._llm = llm
        self._settings = settings
        self._debug = debug
        self._show = show
        self.answers: list[Completion] = []
        self.messages: list[Message] = []
        self._begin(system)

    def take(self, line: str) -> bool:
        """Obey a command or answer a message; False after /exit.

        Raises:
            UsageError: the command does not exist, or the conversation has outgrown the context.
            SamplingError: no token could be chosen.
        """
        if not line.strip():
            return True
        if not line.startswith("/"):
            self._answer(line)
            return True
        name, _, text = line.strip().partition(" ")
        match name:
            case "/help":
                for known, what in COMMANDS.items():
                    note(f"{known:9}{what}")
            case "/reset":
                first = self.messages[:1]
                self._begin(first[0].content if first and first[0].role == "system" else None)
                note("forgotten")
            case "/system":
                self._begin(text.strip() or None)
                note("a new conversation" + ("" if text.strip() else ", without a system message"))
            case "/exit":
                return False
            case _:
                raise unknown_name("command", name, COMMANDS)
        return True

    def record(self, model: str) -> dict[str, Any]:
        """The conversation for JSON; answers are those of every conversation there was."""
        return {
            **model_record(self._llm, model),
            "settings": self._settings,
            "messages": [{"role": m.role, "content": m.content} for m in self.messages],
            "completions": [completion_record(answer) for answer in self.answers],
        }

    def _begin(self, system: str | None) -> None:
        from outrider.types import Message  # noqa: PLC0415

        self.messages = [] if system is None else [Message("system", system)]

    def _answer(self, line: str) -> None:
        from outrider.types import Message  # noqa: PLC0415

        asked = [*self.messages, Message("user", line)]
        stream = self._llm.stream(asked, **self._settings)
        writer, written = AnswerWriter(), 0
        try:
            for event in stream:
                if self._show:
                    writer.write(event.text)
                    written += len(event.text)
                self._debug.take(event, writer if self._show else None)
        except KeyboardInterrupt:
            stream.close()
        completion = stream.completion
        if self._show:
            # What still came after the interruption belongs to the conversation, so it is shown.
            writer.write(completion.text[written:])
            writer.finish()
        if (error := completion.choices[0].error) is not None:
            raise SamplingError(error)
        self.messages = [*asked, Message("assistant", completion.text)]
        self.answers.append(completion)
        if self._show:
            ends = {"cancelled": ["stopped"], "length": ["cut at the limit"]}
            note(summary(completion.usage, *ends.get(completion.finish_reason, [])))


def _lines(typed: bool) -> Iterator[str]:
    """What is said, line by line, until the end of the input."""
    if not typed:
        yield from (line.rstrip("\n") for line in sys.stdin)
        return
    import readline  # noqa: F401, PLC0415 - gives input() its line editing and its history

    while True:
        try:
            yield input("> ")
        except EOFError:
            sys.stdout.write("\n")
            return
        except KeyboardInterrupt:
            sys.stdout.write("\n")
            raise
