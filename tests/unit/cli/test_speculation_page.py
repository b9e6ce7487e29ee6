"""The page about theory shows what the command prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from outrider.cli.app import app

PAGE = Path(__file__).parents[3] / "docs" / "concepts" / "speculation.md"
BLOCKS = re.findall(r"```console\n\$ outrider (.*)\n([^`]*)```", PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("command", "shown"), BLOCKS, ids=[command for command, _ in BLOCKS])
def test_the_page_shows_what_the_command_prints(
    command: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    result = CliRunner().invoke(app, shlex.split(command))

    assert result.exit_code == 0, result.stderr
    printed = [line.rstrip() for line in result.stdout.rstrip().splitlines()]
    assert printed == shown.splitlines()


def test_the_page_has_every_kind_of_table() -> None:
    kinds = {command.split()[1] for command, _ in BLOCKS if len(command.split()) > 1}

    assert {"tree", "acceptance", "scaling", "--alpha"} <= kinds
    assert "theory" in [command for command, _ in BLOCKS]
