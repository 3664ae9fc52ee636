"""The system checks, with what each says is to be done, from their source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import django_loom

from .markdown import code, from_rst
from .markdown import table as markdown_table

KINDS = {"E": "error", "W": "warning"}


def table() -> str:
    """Each id, its kind, and its hint."""
    rows = [(code(name), KINDS[name[-4]], from_rst(hint)) for name, hint in sorted(hints())]
    return markdown_table(["id", "", "what to do"], rows)


def hints() -> Iterator[tuple[str, str]]:
    """The ids and hints of the messages that the checks make."""
    for node in nodes():
        if isinstance(node, ast.Call):
            given = {each.arg: each.value for each in node.keywords}
            if "id" in given and "hint" in given:
                yield ast.literal_eval(given["id"]), ast.literal_eval(given["hint"])


def nodes() -> Iterator[ast.AST]:
    """The source of the checks of all rooms."""
    for path in sorted(Path(django_loom.__file__).parent.rglob("checks.py")):
        yield from ast.walk(ast.parse(path.read_text()))
