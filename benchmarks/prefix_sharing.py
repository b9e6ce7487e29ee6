"""What a knowledge text that is computed once saves each question after the first.

Every question is asked twice, in turn: alone, with nothing in the cache, and behind another one
with the same knowledge. What is compared is the time to the first token.

    python benchmarks/prefix_sharing.py --output benchmarks/records/prefix_sharing.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from outrider.lab.environment import machine, versions
from outrider.lab.statistics import Times, speedup
from outrider.llm import LLM
from outrider.strategies.answering.asking import make_request
from outrider.strategies.answering.profile import Subject
from outrider.strategies.answering.profile_file import load_profile
from outrider.strategies.answering.questions import BUILT_IN, Question, read_questions
from outrider.text import Tokenizer
from outrider.types import Usage


def knowledge(tokenizer: Tokenizer, tokens: int) -> str:
    """A text of so many tokens: the packaged knowledge, and questions with their answers."""
    subjects = load_profile("step-by-step").subjects.values()
    texts = [subject.knowledge for subject in subjects]
    texts += [f"{q.text} {q.gold}" for q in read_questions(BUILT_IN)]
    ids = tokenizer.encode("\n".join(texts))
    if len(ids) < tokens:
        raise SystemExit(f"The package has text for {len(ids)} tokens only.")
    return tokenizer.decode(ids[:tokens])


def ask(llm: LLM, subject: Subject, question: Question) -> Usage:
    """A question's counters; only its first token is generated."""
    request = make_request(subject, question.text, chat=True, seed=0, max_tokens=1)
    return llm.generate(request).usage


def prefill_ms(usage: Usage) -> float:
    """From the question's start to its first token."""
    return usage.first_token_ms - usage.queue_ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--tokens", type=int, default=5000, help="of the knowledge text")
    parser.add_argument("--questions", type=int, default=12)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()

    geography = [q for q in read_questions(BUILT_IN) if q.fields["subject"] == "geography"]
    asked = geography[: arguments.questions]
    rows = []
    with LLM(arguments.model) as llm:
        text = knowledge(llm.tokenizer, arguments.tokens)
        subject = Subject(name="geography", knowledge=text, system="Answer the question.")
        for index, question in enumerate(asked):
            other = asked[(index + 1) % len(asked)]
            with llm.fresh():
                pass
            alone = ask(llm, subject, question)
            shared = ask(llm, subject, other)
            rows.append((question.id, other.id, alone, shared))
        fingerprint, facts = llm.model.fingerprint, dict(llm.model.facts)
    by_question = {other: shared for _, other, _, shared in rows}
    alone = Times.of([[(prefill_ms(a), 1)] for _, _, a, _ in rows])
    shared = Times.of([[(prefill_ms(by_question[name]), 1)] for name, _, _, _ in rows])
    ratio = speedup(alone, shared)
    assert ratio is not None
    record = {
        "model": arguments.model,
        "fingerprint": fingerprint,
        **facts,
        "knowledge_tokens": arguments.tokens,
        "alone_ms": float(alone.ms.mean()),
        "shared_ms": float(shared.ms.mean()),
        "speedup": ratio.value,
        "speedup_low": ratio.low,
        "speedup_high": ratio.high,
        "questions": [
            {
                "id": name,
                "prompt_tokens": a.prompt_tokens,
                "alone_ms": prefill_ms(a),
                "alone_cached_tokens": a.cached_tokens,
                "shared_ms": prefill_ms(by_question[name]),
                "shared_cached_tokens": by_question[name].cached_tokens,
            }
            for name, _, a, _ in rows
        ],
        "machine": machine(),
        "versions": versions(),
    }
    arguments.output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(
        f"{record['alone_ms']:.0f} ms alone, {record['shared_ms']:.0f} ms shared: "
        f"{ratio.value:.1f} times ({ratio.low:.1f} to {ratio.high:.1f})"
    )


if __name__ == "__main__":
    main()
