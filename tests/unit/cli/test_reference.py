from __future__ import annotations

from pathlib import Path

from outrider.cli.app import app
from outrider.cli.reference import page

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"


def test_the_page_is_what_the_commands_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        f"run python -m outrider.cli.reference {PAGE}"
    )


def test_the_page_has_every_command() -> None:
    for registered in app.registered_commands:
        assert f"## outrider {registered.name}\n" in page()
    assert "## outrider bench engine\n" in page()
