"""The same 100 held-out algebra questions under a plain and a step-by-step profile.

The questions are generated with a seed of their own; none of them stands in the package.

    python benchmarks/algebra_profiles.py --output benchmarks/records/algebra_profiles.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from outrider.lab.environment import machine, versions
from outrider.llm import LLM
from outrider.strategies.answering.agreement import share_interval
from outrider.strategies.answering.evaluation import evaluate, read_run
from outrider.strategies.answering.pipeline import answer_file, known_facts
from outrider.strategies.answering.profile_file import load_profile
from outrider.strategies.answering.questions import BUILT_IN, Question, read_questions
from outrider.strategies.answering.run import Settings
from outrider.tasks.generated import generate

COUNT = 100
PROFILES = ("plain", "step-by-step")


def held_out(seed: int, levels: str) -> list[Question]:
    """Generated questions that are not among those of the package, nor a profile's examples."""
    known = {question.text for question in read_questions(BUILT_IN)}
    for name in PROFILES:
        known |= {e.question for e in load_profile(name).subjects["algebra"].examples}
    fresh = generate("algebra", count=2 * COUNT, levels=levels, seed=seed)
    distinct = {p.question: p for p in fresh if p.question not in known}
    return [
        Question(
            index=i,
            id=p.id,
            text=p.question,
            gold=p.answer,
            fields={"subject": "algebra", "level": p.level},
        )
        for i, p in enumerate(list(distinct.values())[:COUNT])
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--seed", type=int, default=1000, help="of the questions")
    parser.add_argument("--levels", default="1-8")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()

    questions = held_out(arguments.seed, arguments.levels)
    levels = {question.id: question.fields["level"] for question in questions}
    sides: list[dict[str, Any]] = []
    with LLM(arguments.model) as llm, tempfile.TemporaryDirectory() as folder:
        for name in PROFILES:
            profile, output = load_profile(name), Path(folder) / f"{name}.jsonl"
            facts = known_facts(
                profile, arguments.model, speculation=llm.speculation, machine={}, versions={}
            )
            settings = Settings(chat=llm.has_chat_template, streams=llm.max_streams)
            outcome = answer_file(
                llm, profile, questions, output, settings, facts, fingerprint=llm.model.fingerprint
            )
            (found,) = evaluate([read_run(output)])
            right = {g.answered.id for g in found.graded if g.correct}
            low, high = share_interval(len(right), len(questions))
            summary = outcome.summaries[-1]
            sides.append(
                {
                    "profile": name,
                    "fingerprint": profile.fingerprint,
                    "questions": len(questions),
                    "correct": len(right),
                    "accuracy": len(right) / len(questions),
                    "accuracy_low": low,
                    "accuracy_high": high,
                    "correct_by_level": {
                        str(level): sum(levels[i] == level for i in right)
                        for level in sorted(set(levels.values()))
                    },
                    "answer_found": summary.found,
                    "cut": summary.cut,
                    "seconds": outcome.seconds,
                    "tokens": summary.tokens,
                    "cached_share": summary.cached_share,
                    "acceptance_rate": summary.acceptance_rate,
                    "right": sorted(right),
                }
            )
            print(f"{name}: {len(right)} of {len(questions)} right, {outcome.seconds:.1f} s")
        record = {
            "model": arguments.model,
            "fingerprint": llm.model.fingerprint,
            **llm.model.facts,
            "seed": arguments.seed,
            "levels": arguments.levels,
            "profiles": sides,
            "machine": machine(),
            "versions": versions(),
        }
    arguments.output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
