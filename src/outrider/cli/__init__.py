"""The command line."""

from __future__ import annotations


def main() -> None:
    """Run `outrider`; what it needs is imported only now."""
    from outrider.cli.app import app  # noqa: PLC0415

    app(prog_name="outrider")
