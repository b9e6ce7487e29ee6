"""How a question of a subject is put to a model: what all questions share stands first."""

from __future__ import annotations

from dataclasses import replace

from outrider.strategies.answering.profile import PLACE, Subject
from outrider.types import Message, Request


def make_request(
    subject: Subject, question: str, *, chat: bool, seed: int | None, max_tokens: int
) -> Request:
    """The request for one question.

    The subject's knowledge, its instructions and its examples come before the question, in this
    order, so that the requests of a subject begin with the same tokens and a cache of prefixes
    holds them once.

    Args:
        subject: how to ask.
        question: its text.
        chat: whether the model takes messages; else it continues a text of the same shape.
        seed: of the noise.
        max_tokens: of the answer.
    """
    sampling = replace(subject.sampling, seed=seed)
    asked = subject.prompt.replace(PLACE, question)
    opening = "\n\n".join(part for part in (subject.knowledge, subject.system) if part)
    if chat:
        messages = [Message("system", opening)] if opening else []
        for example in subject.examples:
            messages.append(Message("user", subject.prompt.replace(PLACE, example.question)))
            messages.append(Message("assistant", example.answer))
        messages.append(Message("user", asked))
        return Request(
            messages=tuple(messages), sampling=sampling, max_tokens=max_tokens, stop=subject.stop
        )
    examples = [
        f"{subject.prompt.replace(PLACE, example.question)}\n{example.answer}"
        for example in subject.examples
    ]
    parts = [opening, *examples, asked] if opening else [*examples, asked]
    return Request(
        prompt="\n\n".join(parts) + "\n",
        sampling=sampling,
        max_tokens=max_tokens,
        # A model that was not taught to end its turn goes on with the next question.
        stop=(*subject.stop, f"\n\n{subject.prompt.partition(PLACE)[0].strip()}"),
    )
