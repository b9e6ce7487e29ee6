"""How reports look: the colours of their pages and pictures, and their templates."""

from __future__ import annotations

import re
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
"""Told apart by most eyes (Okabe and Ito, Color Universal Design, 2008)."""

INK: Final = "#1c1d21"
FAINT: Final = "#6b6e76"
GRID: Final = "#dddfe4"
PAPER: Final = "#fefefe"
MARK: Final = "#f3f4f7"

PALETTE: Final = {
    "ink": (INK, "#e8e9ed"),
    "faint": (FAINT, "#a2a6b0"),
    "grid": (GRID, "#3a3d45"),
    "paper": (PAPER, "#17181c"),
    "mark": (MARK, "#22242a"),
    **{
        f"series-{number}": (colour, dark)
        for number, (colour, dark) in enumerate(
            zip(
                COLOURS,
                ("#3d9be0", "#f0803c", "#2bc493", "#dd8fbb", "#9ad6f7", "#f2bb3b"),
                strict=True,
            ),
            start=1,
        )
    },
}
"""Each colour of a page by its name: on light paper, as pictures are drawn, and on dark."""


def template(name: str) -> Template:
    """A report's template; what goes into HTML is escaped, for it is shown and never interpreted.

    Args:
        name: of its file: it ends in `.html.jinja` or `.md.jinja`.
    """
    templates = Environment(
        loader=PackageLoader("outrider", "data"),
        autoescape=lambda file: file is not None and ".html" in file,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals["colours"] = PALETTE
    templates.filters["code"] = _code
    return templates.get_template(name)


def _code(text: str) -> Markup:
    """A sentence for HTML: what stands between backticks is code, broken between words alone."""

    def words(found: re.Match[str]) -> str:
        return f"<code>{' '.join(f'<span>{word}</span>' for word in found[1].split())}</code>"

    return Markup(re.sub("`([^`]+)`", words, str(escape(text))))
