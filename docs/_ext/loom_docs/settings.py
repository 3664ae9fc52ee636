"""A table of a dataclass of settings: names, types, defaults, and what its source says of each."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from dataclasses import MISSING, Field, fields
from importlib import import_module
from typing import Any

from .markdown import code, from_rst
from .markdown import table as markdown_table

PARAMETER = re.compile(r":param (\w+): (.*?)(?=\n\s*:param|\Z)", re.DOTALL)
UNITS = {1024**3: "1 GiB"}


def table(*names: str) -> str:
    """The table of one or more `module:Class`."""
    found = [row for name in names for row in rows(name)]
    return markdown_table(["key", "type", "default", "meaning"], found)


def rows(name: str) -> list[tuple[str, ...]]:
    module, _, attribute = name.partition(":")
    described = getattr(import_module(module), attribute)
    texts = descriptions(described)
    return [
        (code(each.name), code(each.type), default(default_of(each)), from_rst(texts[each.name]))
        for each in fields(described)
    ]


def default_of(field: Field[Any]) -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()


def default(value: object) -> str:
    unit = UNITS.get(value) if isinstance(value, int) else None
    written = f'"{value}"' if isinstance(value, str) else f"{value}"
    return code(written) + (f" ({unit})" if unit else "")


def descriptions(described: type) -> dict[str, str]:
    """What stands below each field, or in `:param name:` of the docstring."""
    found = dict(PARAMETER.findall(inspect.getdoc(described) or ""))
    body = ast.parse(textwrap.dedent(inspect.getsource(described))).body[0]
    assert isinstance(body, ast.ClassDef)
    for field, text in zip(body.body, body.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(meaning))):
                found[name] = meaning
    return found
