"""What the commands of `outrider cascade` share: their options and their files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outrider.cli.options import SpeculationOptions
from outrider.cli.output import show_progress
from outrider.errors import UsageError

if TYPE_CHECKING:
    from outrider.strategies.cascade import Cascade, CascadeSettings, Ladder, Predictor, Wish

File = Annotated[
    Path, typer.Argument(metavar="CASCADE", help="The cascade file: YAML, or TOML by its name.")
]
Answers = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Collected answers. [default: CASCADE.answers.jsonl]"),
]
PredictorFile = Annotated[
    Path | None,
    typer.Option("--predictor", metavar="FILE", help="[default: CASCADE.predictor.json]"),
]
Family = Annotated[
    str,
    typer.Option(
        "--policy",
        metavar="NAME",
        help="stopping, routing, learned or pandora.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(metavar="N", help="Threads to compute with. [default: physical cores]"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class WishOptions:
    """What is wanted of the trade of quality for cost."""

    budget: Annotated[
        float | None,
        typer.Option(metavar="COST", help="Mean cost of a question, at most."),
    ] = None
    quality: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Share of right answers, at least, such as 0.6."),
    ] = None
    early_stop_rate: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Share of questions to end before the last stage."),
    ] = None
    worth: Annotated[
        float | None,
        typer.Option(
            "--lambda", metavar="COST", help="What a right answer is worth, in units of cost."
        ),
    ] = None
    preference: Annotated[
        str | None,
        typer.Option(metavar="WORD", help="fast, balanced or best. [default: balanced]"),
    ] = None

    def wish(self) -> Wish:
        """As given.

        Raises:
            UsageError: more than one was, or one is out of its range.
        """
        from outrider.strategies.cascade import Wish  # noqa: PLC0415

        return Wish(
            worth=self.worth,
            budget=self.budget,
            quality=self.quality,
            early_stop_rate=self.early_stop_rate,
            preference=self.preference,
        )


def read_settings(path: Path) -> CascadeSettings:
    """The cascade of a file."""
    from outrider.strategies.cascade import CascadeSettings  # noqa: PLC0415

    return CascadeSettings.load(path)


def read_predictor(cascade: Path, path: Path | None) -> Predictor:
    """The predictor of a file, or of the one beside the cascade's."""
    from outrider.strategies.cascade import Predictor  # noqa: PLC0415

    return Predictor.load(existing(path or beside(cascade, ".predictor.json"), "train"))


def beside(cascade: Path, suffix: str) -> Path:
    """The file beside the cascade's that is meant where none is named."""
    return cascade.with_name(cascade.stem + suffix)


def existing(path: Path, made_by: str) -> Path:
    """The path; an error that names the command which makes the file where there is none."""
    if not path.exists():
        raise UsageError(f"{path} does not exist; `outrider cascade {made_by}` makes it.")
    return path


def write(path: Path, text: str) -> None:
    """Write a text file."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error


def open_ladder(
    settings: CascadeSettings,
    threads: int | None,
    speculation: SpeculationOptions,
    *,
    accept_terms: bool,
) -> Ladder:
    """The stages, their models fetched if they are not here; all draft in the same way.

    Raises:
        UsageError: tokens are to be drafted in no model here, or in a way that changes answers.
    """
    from outrider.strategies.cascade import Ladder  # noqa: PLC0415

    here = any(stage.endpoint is None for stage in settings.stages)
    speculation.check(here=here, lossless=True)
    with show_progress() as listener:
        return Ladder(
            settings,
            local={
                "threads": threads,
                "accept_terms": accept_terms,
                "progress": listener,
                **speculation.settings(),
            },
        )


def is_cascade(model: str) -> bool:
    """Whether what stands in a model's place is a cascade file."""
    return Path(model).suffix in (".yml", ".yaml", ".toml")


def asks_servers(cascade: Path) -> bool:
    """Whether a stage of a cascade file is behind a server."""
    return any(stage.endpoint is not None for stage in read_settings(cascade).stages)


@contextmanager
def open_cascade(
    cascade: Path,
    threads: int | None,
    speculation: SpeculationOptions,
    *,
    accept_terms: bool,
) -> Iterator[Cascade]:
    """The trained cascade of a file, balanced, as a generator."""
    from outrider.strategies.cascade import Cascade, TrainedPolicy  # noqa: PLC0415

    settings = read_settings(cascade)
    policy = TrainedPolicy(read_predictor(cascade, None))
    with open_ladder(settings, threads, speculation, accept_terms=accept_terms) as ladder:
        yield Cascade.on(ladder, policy)
