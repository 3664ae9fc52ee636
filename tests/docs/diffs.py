"""Applies the documentation's diffs, which have few lines of context and no numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

from .project import Project


@dataclass
class Change:
    """Lines of a file that are added after some line, or in place of it."""

    after: str
    replaces: bool
    lines: list[str] = field(default_factory=list)


def changes(diff: str) -> dict[str, list[Change]]:
    """The changes of each file; a line ` # path` begins those of a file."""
    found: dict[str, list[Change]] = {}
    current: list[Change] = []
    before = ""
    for line in filter(None, diff.splitlines()):
        mark, text = line[0], line[1:]
        if mark == " " and text.startswith("# "):
            current = found.setdefault(text[2:], [])
        elif mark == "-":
            current.append(Change(text, replaces=True))
        elif mark == "+":
            if not current or current[-1].lines or not current[-1].replaces:
                current.append(Change(before, replaces=False))
            current[-1].lines.append(text)
        before = text if mark == " " else before
    return found


def apply(diff: str, project: Project) -> None:
    """Change the project's files; AssertionError if they have not what the diff expects."""
    for name, of_file in changes(diff).items():
        lines = project.path(name).read_text().splitlines()
        for change in of_file:
            assert change.after in lines, f"{name} has no line {change.after!r}"
            at = lines.index(change.after)
            lines[at + (not change.replaces) : at + 1] = change.lines
        project.path(name).write_text("\n".join(lines) + "\n")
