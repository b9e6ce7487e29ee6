"""Which model judges answers in words, as the options say, and what its agreement allows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outrider.cli.cascade_files import asks_servers, is_cascade, open_cascade
from outrider.cli.options import SpeculationOptions
from outrider.cli.output import show_progress, warn
from outrider.errors import UsageError

if TYPE_CHECKING:
    from outrider.strategies.answering.evaluation import Evaluation
    from outrider.strategies.answering.judge import ModelJudge


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOptions:
    """The judge."""

    judge: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="A model that judges answers in words, named as in `generate`, or a trained "
            "cascade file; with --judge-endpoint, the server's name for it. [default: comparison "
            "alone]",
        ),
    ] = None
    judge_endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", help="An OpenAI-compatible server with the judge."),
    ] = None
    rubrics: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="TOML with what the judge is told about each subject. [default: our own]",
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.rubrics is not None and self.name is None:
            raise UsageError(
                "--rubrics are for a judge; name one with --judge or --judge-endpoint."
            )
        if self.cascade is not None and self.judge_endpoint is not None:
            raise UsageError(
                f"--judge-endpoint is for one model of a server; the stages of {self.cascade} say "
                "themselves where their models are."
            )

    @property
    def name(self) -> str | None:
        """The judge's, for records; None without one."""
        return self.judge_endpoint or self.judge

    @property
    def cascade(self) -> Path | None:
        """The cascade file that stands in the judge's place; None where a model does."""
        return Path(self.judge) if self.judge is not None and is_cascade(self.judge) else None

    @property
    def remote(self) -> bool:
        """Whether the judge, or a stage of it, is behind a server."""
        from outrider.generators import is_address  # noqa: PLC0415

        if self.cascade is not None:
            return asks_servers(self.cascade)
        return self.name is not None and is_address(self.name)

    def prepare(self, *, accept_terms: bool) -> None:
        """Find out now, not when all is answered, whether there will be a judge.

        Its model is fetched if need be, and its server is asked whether it is there.

        Raises:
            UsageError: the rubrics cannot be read, or the judge's name stands for nothing, or for
                a cascade that is not trained.
            EndpointError: its server cannot be reached.
        """
        if self.name is None:
            return
        from outrider import models  # noqa: PLC0415
        from outrider.generators import open_server, resolve  # noqa: PLC0415
        from outrider.strategies.answering.judge import RUBRICS, read_rubrics  # noqa: PLC0415

        read_rubrics(self.rubrics or RUBRICS)
        if self.cascade is not None:
            with open_cascade(self.cascade, None, SpeculationOptions(), accept_terms=accept_terms):
                return
        found = resolve(self.judge, self.judge_endpoint)
        if self.remote:
            open_server(found).close()
            return
        with show_progress() as listener:
            models.ensure(found, accept_terms=accept_terms, progress=listener)

    @contextmanager
    def opened(self, *, accept_terms: bool) -> Iterator[ModelJudge | None]:
        """The judge; None where none is named.

        Raises:
            OutriderError: it cannot be opened.
        """
        if self.name is None:
            yield None
            return
        from outrider.generators import open_generator  # noqa: PLC0415
        from outrider.strategies.answering.judge import (  # noqa: PLC0415
            RUBRICS,
            ModelJudge,
            read_rubrics,
        )

        texts = read_rubrics(self.rubrics or RUBRICS)
        if self.cascade is not None:
            with open_cascade(
                self.cascade, None, SpeculationOptions(), accept_terms=accept_terms
            ) as cascade:
                yield ModelJudge(cascade, chat=cascade.has_chat_template, rubrics=texts)
            return
        with show_progress() as listener:
            generator = open_generator(
                self.judge,
                endpoint=self.judge_endpoint,
                accept_terms=accept_terms,
                progress=listener,
            )
        try:
            yield ModelJudge(generator, chat=generator.has_chat_template, rubrics=texts)
        finally:
            generator.close()


def warn_withheld(found: Evaluation) -> bool:
    """Say of which subjects the judge's score is withheld, and why; whether there are any."""
    from outrider.strategies.answering.page import kappa  # noqa: PLC0415

    for name in found.withheld:
        warn(
            f"{name}: the judge's score is withheld, kappa "
            f"{kappa(found.agreement[name].kappa)}; comparison alone counts."
        )
    return bool(found.withheld)
