"""What runs come to: when to speculate, with which settings, and what to watch for, in words.

What is shown of speculation itself is decided in `judgement`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from outrider.lab.course import Answer
from outrider.lab.evidence import Evidence
from outrider.lab.experiment import Arm
from outrider.lab.experiments.words import differing, exactness, times
from outrider.lab.judgement import DECIDERS, Judgement, judge
from outrider.lab.runs import ALLOWED_SHARE
from outrider.lab.statistics import ENOUGH, Finding, Interval, finding

WHEN: Final = ("stops", "batching")
"""Questions whose answers say under which conditions drafting pays."""

WATCH: Final = {"break-even": "The acceptance at which drafting breaks even: ", "memory": ""}
"""Questions whose answers say what to keep an eye on, and how the sentence begins."""

NEGLIGIBLE: Final = 0.05
"""A difference in speed that nobody would change a setting for."""

FLAGS: Final = {
    "drafter": "--drafter",
    "controller": "--controller",
    "num_draft_tokens": "--num-draft-tokens",
    "verification": "--verification",
}


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What a report recommends.

    Attributes:
        when: whether and when to speculate; the verdict first.
        settings: with which settings.
        watch: what to watch for, what the measurements do not support included.
    """

    when: Sequence[str]
    settings: Sequence[str]
    watch: Sequence[str]


def conclude(
    evidence: Sequence[Evidence], answers: Sequence[Answer], shares: Mapping[str, float]
) -> Conclusion:
    """What to do, from what was measured and nothing else.

    Args:
        evidence: of all runs.
        answers: that it gives to the course's questions.
        shares: what the harness took beside what it measured, by the runs' names.
    """
    judgements = judge(evidence)
    by_key = {answer.question.key: [told.text for told in answer.told] for answer in answers}
    return Conclusion(
        when=[*verdicts(judgements), *(text for key in WHEN for text in by_key[key])],
        settings=_settings(judgements, evidence),
        watch=[
            *(begins + text for key, begins in WATCH.items() for text in by_key[key][:1]),
            *_uneven(judgements),
            *_inexact(judgements),
            *(
                sentence
                for run, taken in shares.items()
                for sentence in _doubts(run, taken, evidence)
            ),
            *_unmeasured(answers),
        ],
    )


def verdicts(judgements: Sequence[Judgement]) -> list[str]:
    """Whether to speculate: the verdict first, then what else was measured of it."""
    if not judgements:
        return [
            "Nothing here says whether speculation helps: "
            f"`outrider lab run {DECIDERS[0]}` measures it."
        ]
    first, *others = judgements
    said = [_verdict(first)]
    findings = {judgement.finding for judgement in judgements}
    if Finding.FASTER in findings and Finding.SLOWER in findings:
        said.append("The measurements disagree, so it depends on what they were asked with.")
    if first.finding is Finding.FASTER and len(first.arms) > 1:
        said.append(
            f"The best of {len(first.arms)} is partly luck. Chosen for each prompt by the other "
            f"prompts, the fastest is {first.on_others:.2f} times as fast."
        )
    return said + [f"{_source(each)} {_measured(each)}" for each in others]


def _verdict(judgement: Judgement) -> str:
    measured = _measured(judgement)
    match judgement.finding:
        case Finding.FASTER:
            return f"Speculate: {measured}"
        case Finding.SLOWER:
            return f"Do not speculate here: {measured}"
        case _:
            return f"These measurements do not decide whether speculation helps: {measured}"


def _measured(judgement: Judgement) -> str:
    """A sentence that begins with the arm's name."""
    many, ratio = len(judgement.arms), judgement.ratio
    name = _named(judgement.best)
    fastest = f"{name}, the fastest of {many}," if many > 1 else name
    said = f"{fastest} is {times(ratio)} times as fast as plain decoding"
    match judgement.finding:
        case Finding.FASTER:
            return (
                f"{said} over {ratio.units} prompts, and {times(judgement.typical)} times on a "
                "typical one."
            )
        case Finding.SLOWER:
            return f"{said}, and all others are slower too." if many > 1 else f"{said}."
        case _:
            return f"{said}, which {_doubt(ratio, many)}."


def _doubt(ratio: Interval, many: int) -> str:
    """Why a ratio shows nothing."""
    if ratio.low is None or ratio.high is None or ratio.units < ENOUGH:
        return f"{ratio.units} prompt{'s are' if ratio.units > 1 else ' is'} too few to tell"
    if max(ratio.high - 1.0, 1.0 - ratio.low) < NEGLIGIBLE:
        return f"is no difference, or one of less than {NEGLIGIBLE:.0%}"
    if finding(ratio) is Finding.UNDECIDED:
        return "may be chance; more prompts and repeats would tell"
    if finding(ratio) is Finding.SLOWER:
        return "is slower, but not all that were tried are shown to be"
    return (
        f"the best of {many} may be by chance; more prompts and repeats would tell"
        if many > 1
        else "the sign-flip test does not confirm; more prompts and repeats would tell"
    )


def _named(arm: Arm) -> str:
    """An arm, and what drafts in it."""
    drafter = str(arm.settings.get("drafter", ""))
    return arm.name if drafter in arm.name else f"{drafter}, {arm.name}"


def _source(judgement: Judgement) -> str:
    """Where a sentence is from."""
    return f"{judgement.evidence.experiment.title} ({judgement.evidence.run}):"


def _settings(judgements: Sequence[Judgement], evidence: Sequence[Evidence]) -> list[str]:
    """What to set, where some setting is shown to be faster."""
    said = []
    faster = [judgement for judgement in judgements if judgement.finding is Finding.FASTER]
    if faster:
        said += [
            f"{'Take' if judgement is faster[0] else 'Or take'} {_recommended(judgement)}"
            for judgement in faster
        ]
    elif judgements and judgements[0].finding is Finding.SLOWER:
        said.append("Decode plainly: `--no-speculation`.")
    elif judgements:
        said.append("None is recommended, for none is shown to be faster than plain decoding.")
    return [*said, *(sentence for each in evidence for sentence in each.advice)]


def _recommended(judgement: Judgement) -> str:
    best, results = judgement.best, judgement.evidence.paired
    assert results is not None
    alike = [
        _named(arm)
        for arm in judgement.arms
        if arm.name != best.name
        and finding(results.total(best.name, arm.name)) is not Finding.FASTER
    ]
    options = " ".join(
        f"{FLAGS[name]} {value}" for name, value in best.settings.items() if name in FLAGS
    )
    return f"`{options}`" + (f"; not told apart from it: {'; '.join(alike)}." if alike else ".")


def _uneven(judgements: Sequence[Judgement]) -> list[str]:
    """Where what is faster over all prompts is not so on each."""
    said = []
    for judgement in judgements:
        results, typical = judgement.evidence.paired, judgement.typical
        if judgement.finding is not Finding.FASTER or results is None:
            continue
        name, ratios = _named(judgement.best), results.ratios(judgement.best.name)
        if slower := int(np.sum(ratios < 1.0)):
            said.append(
                f"{name} is slower than plain decoding on {slower} of {len(ratios)} prompts, "
                f"{ratios.min():.2f} times as fast on the worst."
            )
        if typical is not None and _apart(judgement.ratio, typical):
            said.append(
                f"Of {name}, few prompts decide the speed-up over all together: long answers, or "
                "a moment in which the machine was slow. `--repeats 3` tells which."
            )
    return said


def _apart(ratio: Interval, typical: Interval) -> bool:
    """Whether a figure lies outside another's interval."""
    if typical.low is None or typical.high is None:
        return False
    return not typical.low <= ratio.value <= typical.high


def _inexact(judgements: Sequence[Judgement]) -> list[str]:
    """Answers that are not plain decoding's, though they must be."""
    said = []
    for judgement in judgements:
        results, arms = judgement.evidence.paired, [arm.name for arm in judgement.arms]
        if results is not None and any(differing(results, arm) for arm in arms):
            said.append(f"{_source(judgement)} {exactness(results, arms)}")
    return said


def _doubts(run: str, taken: float, evidence: Sequence[Evidence]) -> list[str]:
    """What weakens a run's measurements."""
    own, said = [each for each in evidence if each.run == run], []
    setup = own[0].results.setup
    if missing := sum(max(each.missing, 0) for each in own):
        said.append(f"{run} is not whole: {missing} planned measurements are missing.")
    if setup.repeats == 1:
        said.append(
            f"{run} asked each prompt once"
            + (f", for {setup.max_tokens} tokens at most: a first look." if setup.quick else ".")
        )
    if taken > ALLOWED_SHARE:
        said.append(
            f"{run} spent {taken:.1%} on the measuring itself, more than {ALLOWED_SHARE:.0%}: its "
            "answers are too short."
        )
    return said


def _unmeasured(answers: Sequence[Answer]) -> list[str]:
    """What nothing can be said about."""
    names = list(dict.fromkeys(a.question.run for a in answers if not a.told))
    if not names:
        return []
    return [
        f"Nothing was measured of {', '.join(names)}, so nothing is said of it: "
        f"`outrider lab run {' '.join(names)}` would tell."
    ]
