"""The command line."""

from __future__ import annotations

import sys

INTERRUPTED = 130
"""The exit status after Ctrl-C: 128 and the signal's number, as shells have it."""


def main() -> None:
    """Run `outrider`; what it needs is imported only now."""
    try:
        from outrider.cli.app import app  # noqa: PLC0415

        app(prog_name="outrider")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
