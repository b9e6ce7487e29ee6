r"""Task files in the shape of SkyThought's: a data set, its keys and a template, as YAML.

    dataset_path: opencompass/AIME2025
    dataset_split: train
    question_key: question
    answer_key: answer
    templating_parameters:
      template: "{prompt}\nReturn your final response within \\boxed{{}}"

https://github.com/NovaSky-AI/SkyThought, `skythought/evals/tasks`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from outrider.errors import UsageError, unknown_name
from outrider.files import read_text
from outrider.tasks import public
from outrider.tasks.base import Grader, Task
from outrider.tasks.files import SUFFIXES as QUESTION_SUFFIXES
from outrider.tasks.files import problem_from, read_rows
from outrider.tasks.graders import GRADERS, grade_choice, grade_mathematics
from outrider.tasks.hub import HubName, fetch

SUFFIXES: Final = (".yaml", ".yml")

_MATHEMATICAL: Final = (
    "aime",
    "amc23",
    "gsm8k",
    "math",
    "math500",
    "minervamath",
    "numina",
    "olympiadbench_math",
)
_BY_CHOICE: Final = ("arc_c", "gpqa_diamond", "mmlu", "mmlu_pro")
_HANDLERS: Final[dict[str, Grader]] = {
    **dict.fromkeys(_MATHEMATICAL, grade_mathematics),
    **dict.fromkeys(_BY_CHOICE, grade_choice),
    **GRADERS,
}
_UNSUPPORTED: Final = ("preprocess_config", "fewshot_config", "num_fewshot")
_KEYS: Final = (
    "handler",
    "dataset_path",
    "dataset_subset",
    "dataset_source",
    "dataset_split",
    "question_key",
    "answer_key",
    "templating_parameters",
    *_UNSUPPORTED,
)


def read_task(path: Path, data: Path | None) -> Task:
    """The task that a file describes.

    `dataset_path` is a file of questions, as it stands or from where the task file is, or a
    repository of the hub; a public set that is at hand is read from there. `handler` says how
    answers are graded: by the name of SkyThought's handler or of one of our graders; mathematics
    by default.

    Raises:
        UsageError: the file cannot be read, or a key is unknown, missing or asks for what is not
            supported.
        DownloadError: the data set could not be fetched.
    """
    values = _read(path)
    for key in values:
        if key not in _KEYS:
            raise unknown_name(f"key of the task file {path}:", str(key), _KEYS)
    for key in _UNSUPPORTED:
        if values.get(key):
            raise UsageError(f"{key} of the task file {path} is not supported; leave it out.")
    dataset, template = values.get("dataset_path"), _template(values, path)
    if not isinstance(dataset, str):
        raise UsageError(f"The task file {path} needs a dataset_path.")
    handler = str(values.get("handler", "mathematics"))
    if handler not in _HANDLERS:
        raise unknown_name(f"handler of the task file {path}:", handler, _HANDLERS)
    keys = {key: values.get(key) for key in ("question_key", "answer_key")}
    near = next((p for p in (path.parent / dataset, Path(dataset)) if p.is_file()), None)
    split = str(values.get("dataset_split", "test"))
    subset = values.get("dataset_subset") or values.get("dataset_source")
    if near is not None:
        rows = read_rows(near)
    elif Path(dataset).suffix.lower() in QUESTION_SUFFIXES:
        raise UsageError(f"The data set {dataset} of the task file {path} does not exist.")
    elif name := public.name_of(dataset, subset, split):
        # Read as the public set it is: a file at hand has our keys, whatever those of the hub are.
        return Task(path.stem, public.find(name, data), template, _HANDLERS[handler])
    else:
        remedy = f"give {path} a dataset_path that is a file"
        rows = fetch(HubName(dataset, subset, split), remedy=remedy)
    problems = tuple(
        problem_from(row, index, f"Question {index + 1} of {dataset}", **keys)
        for index, row in enumerate(rows)
    )
    return Task(path.stem, problems, template, _HANDLERS[handler])


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(read_text(path, f"The task file {path}"))
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        where = f" at line {place.line + 1}" if place else ""
        raise UsageError(f"The task file {path} is not valid YAML{where}.") from error
    if not isinstance(values, dict):
        raise UsageError(f"The task file {path} has to hold keys and values.")
    return values


def _template(values: dict[str, Any], path: Path) -> str:
    parameters = values.get("templating_parameters") or {}
    if not isinstance(parameters, dict) or not isinstance(parameters.get("template"), str):
        raise UsageError(f"The task file {path} needs templating_parameters with a template.")
    if more := sorted(set(parameters) - {"template"}):
        raise UsageError(
            f"{', '.join(more)} of templating_parameters in {path} is not supported; leave it out."
        )
    template: str = parameters["template"]
    if "{prompt}" not in template and "{question}" not in template:
        raise UsageError(f"The template of {path} needs {{prompt}} where the question goes.")
    return template
