"""Markdown that the directives write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a cell may have any text but a line break."""
    lines = [header, ["---"] * len(header), *([cell(each) for each in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def code(text: object) -> str:
    """Something that is written as code; nothing for an empty text."""
    return f"`{text}`" if str(text) else ""


def from_rst(text: str) -> str:
    """A docstring's marks as Markdown has them."""
    return text.replace("``", "`")
