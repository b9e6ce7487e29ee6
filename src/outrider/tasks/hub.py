"""Data sets of the Hugging Face hub, fetched by the library `datasets`, which keeps them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final, Self

from outrider.errors import DownloadError, UsageError
from outrider.tasks.files import Row

PREFIX: Final = "hf:"

PREFERRED: Final = ("test", "validation", "train")
"""Splits, the first of which that a data set has is taken where none is named."""

_NAME = re.compile(r"hf:([\w.-]+/[\w.-]+)(?:/([\w.-]+))?(?::([\w.-]+(?:\[[^\[\]]*\])?))?")


@dataclass(frozen=True, slots=True)
class HubName:
    """A data set of the hub, or part of one.

    Attributes:
        repository: `owner/name`.
        subset: its configuration; None is the default one.
        split: of its rows, also a part of it (`test[:100]`); None is the first of `PREFERRED`.
    """

    repository: str
    subset: str | None = None
    split: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `hf:owner/name`, with `/subset` and `:split` behind it where they are wanted.

        Raises:
            UsageError: it is not written like that.
        """
        match = _NAME.fullmatch(text)
        if match is None:
            raise UsageError(
                f"{text!r} names no data set of the hub; write hf:owner/name, hf:owner/name:split "
                "or hf:owner/name/subset:split."
            )
        return cls(*match.groups())


def fetch(name: HubName, *, remedy: str) -> list[Row]:
    """The rows of a data set.

    Args:
        name: of the data set.
        remedy: what else its user can do, for the errors.

    Raises:
        UsageError: the library `datasets` is missing.
        DownloadError: the data set could not be fetched.
    """
    if find_spec("datasets") is None:
        raise UsageError(
            f"{name.repository} is not at hand; {remedy}, or fetch it from the hub with "
            "pip install 'outrider[data]'."
        )
    import datasets  # noqa: PLC0415

    try:
        split = name.split or _split(datasets, name)
        loaded = datasets.load_dataset(name.repository, name.subset, split=split)
        return [dict(row) for row in loaded]
    except Exception as error:  # its errors have no common base
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise DownloadError(
            f"{name.repository} could not be fetched from the hub ({reason.rstrip('.:')}); "
            f"{remedy}."
        ) from error


def _split(datasets: Any, name: HubName) -> str:
    there = datasets.get_dataset_split_names(name.repository, name.subset)
    return next((split for split in PREFERRED if split in there), there[0])
