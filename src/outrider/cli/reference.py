"""The reference page of the command line, made from the commands themselves.

`python -m outrider.cli.reference docs/reference/cli.md` writes it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from outrider.cli.app import app

INTRODUCTION = """\
# The command line

Written by `python -m outrider.cli.reference docs/reference/cli.md`.

With `--json` a command prints one JSON object on standard output; everything else it has to say
goes to standard error. An option that cannot be honoured is an error. Exit statuses: 0 success,
2 a wrong option or value, 3 a model file that is damaged or not supported, 4 a failed download,
5 a request larger than the cache, 6 an answer that failed, 7 a server that cannot be reached or
fails, 130 after Ctrl-C.
"""


def page() -> str:
    """The whole page as Markdown."""
    sections = [INTRODUCTION, *_sections(typer.main.get_command(app), "outrider")]
    return "\n".join(sections)


def _sections(command: Any, name: str) -> Iterator[str]:
    """A section for each command from this one downward, groups before their members."""
    yield f"## {name}\n\n{inspect.cleandoc(command.help or '')}\n"
    rows = [row for row in map(_row, command.params) if row]
    if rows:
        yield "\n".join(["| option | meaning |", "|---|---|", *rows]) + "\n"
    for child, below in getattr(command, "commands", {}).items():
        yield from _sections(below, f"{name} {child}")


def _row(parameter: Any) -> str:
    """A parameter's line of the table; nothing for --help."""
    if parameter.param_type_name == "argument":
        names = parameter.metavar or parameter.name.upper()
    else:
        names = ", ".join(parameter.opts) + (f" {parameter.metavar}" if parameter.metavar else "")
    if parameter.name == "help":
        return ""
    text = (parameter.help or "").replace("|", "\\|")
    if parameter.show_default and isinstance(parameter.default, str | int | float):
        text += "" if isinstance(parameter.default, bool) else f" [default: {parameter.default}]"
    return f"| `{names}` | {text} |"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
