"""The application: its commands, and how it ends."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import outrider
from outrider.cli import (
    INTERRUPTED,
    answer,
    bench,
    cascade,
    certify,
    chat,
    doctor,
    evaluate,
    generate,
    lab,
    memory,
    models,
    pack,
    quantize,
    replay,
    theory,
    think,
    tune,
)
from outrider.errors import OutriderError

CLOSED_PIPE = 141
"""The exit status where nobody reads any more: 128 and the number of SIGPIPE."""


class Commands(TyperGroup):
    """The commands, ending as a command line should: no traceback for what a user can mend."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except OutriderError as error:
            typer.secho(f"error: {error}", fg="red", err=True)
            raise typer.Exit(error.exit_status) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(INTERRUPTED) from error
        except BrokenPipeError as error:
            # Python flushes standard output once more at its end; let that go nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(CLOSED_PIPE) from error
        return result


app = typer.Typer(
    cls=Commands,
    help="Makes large language models answer faster without changing what they say.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("generate")(generate.generate)
app.command("chat")(chat.chat)
app.command("think")(think.think)
app.command("pull")(models.pull)
app.command("list")(models.list_models)
app.command("quantize")(quantize.quantize)
app.command("answer")(answer.answer)
app.command("pack")(pack.pack)
app.command("replay")(replay.replay)
app.command("certify")(certify.certify)
app.command("tune")(tune.tune)
app.command("memory")(memory.memory)
app.command("evaluate")(evaluate.evaluate)
app.command("doctor")(doctor.doctor)
app.add_typer(bench.app, name="bench")
app.add_typer(lab.app, name="lab")
app.add_typer(cascade.app, name="cascade")
app.add_typer(theory.app, name="theory")


def _version(show: bool) -> None:
    if show:
        typer.echo(f"outrider {outrider.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Makes large language models answer faster without changing what they say."""
