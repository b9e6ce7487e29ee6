"""Reports as Markdown and as pages that need nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from outrider.style import template


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
    return template("cascade.html.jinja").render(title=title, parts=parts)
