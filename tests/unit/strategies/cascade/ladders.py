"""Answers of a made-up ladder, for tests of what comes after collecting."""

from __future__ import annotations

import math
from random import Random

from outrider.strategies.cascade.answers import Question
from outrider.strategies.cascade.settings import (
    CascadeSettings,
    Cost,
    PredictorSettings,
    StageSettings,
)
from outrider.strategies.cascade.stage import Answer
from outrider.tasks import Problem

SKILLS = (0.0, 1.2, 2.4)


def ladder(regressor: str = "logistic", **more: object) -> CascadeSettings:
    """Three stages of one model, with declared milliseconds."""
    stages = tuple(
        StageSettings(name=name, max_tokens=tokens, cost=Cost(ms=ms))
        for name, tokens, ms in (("first", 8, 10.0), ("second", 32, 60.0), ("third", 64, 240.0))
    )
    predictor = PredictorSettings(regressor=regressor, folds=3, bins=8)  # type: ignore[arg-type]
    return CascadeSettings(stages=stages, predictor=predictor, **more)  # type: ignore[arg-type]


def questions(settings: CascadeSettings, count: int, seed: int = 0) -> list[Question]:
    """Longer questions are harder; surer answers are right more often; skill grows."""
    random = Random(seed)
    made = []
    for number in range(count):
        difficulty = random.gauss(0.5, 1.5)
        length = max(1, round(6 + 3 * difficulty + random.gauss(0, 1.5)))
        text = " ".join(f"word{random.randint(0, 99)}" for _ in range(length)) + "?"
        problem = Problem(id=f"q{seed}-{number}", question=text, answer=None, level=1 + number % 3)
        answers, correct = [], []
        for stage, skill in zip(settings.stages, SKILLS, strict=True):
            sure = 1 / (1 + math.exp(-1.5 * (skill - difficulty)))
            right = random.random() < sure
            noise = random.gauss(0, 0.3)
            logprob = math.log(min(max(sure * 0.9 + 0.05 + 0.1 * right, 0.02), 0.99))
            answers.append(
                Answer(
                    stage=stage.name,
                    fingerprint=stage.fingerprint(),
                    model="a-model",
                    text="7" if right else str(random.randint(8, 99)),
                    answer="7" if right else str(random.randint(8, 99)),
                    votes=("7",),
                    logprobs=(logprob + 0.1 * noise, logprob),
                    entropies=(-logprob, -logprob),
                    tokens=2,
                    prompt_tokens=length,
                    ms=stage.cost.ms or 0.0,
                )
            )
            correct.append(right)
        made.append(Question("made-up", problem, tuple(answers), tuple(correct)))
    return made
