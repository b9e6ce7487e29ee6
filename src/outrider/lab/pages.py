"""Reports as Markdown and as pages that need nothing else."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts; the first column is left-aligned, the others right."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(slots=True)
class Section:
    """A heading with what stands under it, in this order: words, pictures, tables."""

    title: str
    words: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


def markdown(title: str, parts: Sequence[Section]) -> str:
    """The report as Markdown, without its pictures."""
    lines = [f"# {title}", ""]
    for part in parts:
        lines += [f"## {part.title}", ""]
        for words in part.words:
            lines += [words, ""]
        for table in part.tables:
            lines.append("| " + " | ".join(table.head) + " |")
            lines.append("|---|" + "---:|" * (len(table.head) - 1))
            lines += ["| " + " | ".join(row) + " |" for row in table.rows]
            lines.append("")
    return "\n".join(lines)


def page(title: str, parts: Sequence[Section]) -> str:
    """The report as one HTML file that needs nothing else."""
    body = [f"<h1>{html.escape(title)}</h1>"]
    for part in parts:
        body.append(f"<h2>{html.escape(part.title)}</h2>")
        body += [f"<p>{html.escape(words)}</p>" for words in part.words]
        body += [f"<figure>{picture}</figure>" for picture in part.pictures]
        body += [_html_table(table) for table in part.tables]
    return PAGE.format(title=html.escape(title), body="\n".join(body))


PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
:root {{ --page: #fff; --ink: #1a1a1a; --line: #8886; }}
@media (prefers-color-scheme: dark) {{ :root {{ --page: #16181c; --ink: #e6e6e6; }} }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  background: var(--page); color: var(--ink); }}
h2 {{ margin-top: 2.5rem; }}
figure {{ margin: 1rem 0; overflow-x: auto; }}
figure svg {{ max-width: 100%; height: auto; }}
.table {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1rem 0; }}
th, td {{ padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: right; }}
th:first-child, td:first-child {{ text-align: left; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def _html_table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.head)
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in table.rows
    )
    return f'<div class="table"><table><tr>{head}</tr>\n{rows}</table></div>'
