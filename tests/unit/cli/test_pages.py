"""Pages that show what commands print show what they print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from outrider.cli.app import app

DOCS = Path(__file__).parents[3] / "docs"
PAGES = (DOCS / "concepts" / "speculation.md", DOCS / "guides" / "memory.md")


def blocks(page: Path) -> list[tuple[str, str]]:
    """The commands of a page and what it shows of them."""
    return re.findall(r"```console\n\$ outrider (.*)\n([^`]*)```", page.read_text(encoding="utf-8"))


ALL = [block for page in PAGES for block in blocks(page)]


@pytest.mark.parametrize(("command", "shown"), ALL, ids=[command for command, _ in ALL])
def test_the_page_shows_what_the_command_prints(
    command: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    result = CliRunner().invoke(app, shlex.split(command))

    assert result.exit_code == 0, result.stderr
    printed = [line.rstrip() for line in result.stdout.rstrip().splitlines()]
    assert printed == shown.splitlines()


def test_the_page_about_theory_has_every_kind_of_table() -> None:
    commands = [command for command, _ in blocks(PAGES[0])]
    kinds = {command.split()[1] for command in commands if len(command.split()) > 1}

    assert {"tree", "acceptance", "scaling", "--alpha"} <= kinds
    assert "theory" in commands


def test_the_page_about_memory_calculates_by_parameters_and_by_model() -> None:
    commands = [command for command, _ in blocks(PAGES[1])]

    assert any("--target-params" in command for command in commands)
    assert any("--budget" in command for command in commands)
