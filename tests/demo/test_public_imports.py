"""The demo imports only public names of django_loom, as any project should."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import django_loom
from django_loom import lab

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "demo"

PUBLIC = (
    {f"django_loom.{name}" for name in django_loom.__all__}
    | {f"django_loom.lab.{name}" for name in lab.__all__}
    | {"django_loom", "django_loom.asgi.get_asgi_application"}
)
# What settings and command lines may name in a string.
PUBLIC_STRINGS = {
    "django_loom",
    "django_loom.cli",  # `python -m django_loom.cli` is the command `loom`
    "django_loom.db.postgresql",
    "django_loom.db.postgis",
    "django_loom.db.sqlite3",
}


def faults(source: str) -> Iterator[str]:
    """Each name of django_loom in a module that is not public."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for name in imported(node):
            if name.split(".")[0] == "django_loom" and name not in PUBLIC:
                yield f"line {node.lineno} imports {name}"
        if isinstance(node, ast.Constant) and is_path(node.value):
            if node.value not in PUBLIC_STRINGS:
                yield f"line {node.lineno} names {node.value}"
        elif isinstance(node, ast.Attribute) and dotted(node) not in PUBLIC | {None}:
            yield f"line {node.lineno} uses {dotted(node)}"


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def is_path(value: object) -> bool:
    return (
        isinstance(value, str)
        and all(part.isidentifier() for part in value.split("."))
        and (value.split(".")[0] == "django_loom")
    )


def dotted(node: ast.Attribute) -> str | None:
    """`django_loom.name` for an attribute of the module itself."""
    is_module = isinstance(node.value, ast.Name) and node.value.id == "django_loom"
    return f"django_loom.{node.attr}" if is_module else None


def modules() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in DEMO.rglob("*.py"))


@pytest.mark.parametrize("module", modules())
def test_a_module_of_the_demo_uses_public_names_only(module: str) -> None:
    assert not list(faults((ROOT / module).read_text()))


def test_the_demo_uses_django_loom() -> None:
    assert "django_loom.asgi" in (DEMO / "project" / "asgi.py").read_text()


@pytest.mark.parametrize(
    "source",
    [
        "import django_loom.bridge",
        "import django_loom.db.pools as pools",
        "from django_loom import bridge",
        "from django_loom.bridge import run_sync",
        "from django_loom.db.registry import pool",
        "from django_loom.lab.processes.child import ChildProcess",
        "def late():\n    from django_loom.http import handler",
        "import django_loom\ndjango_loom.bridge.current_call()",
        "import django_loom\ndjango_loom._LAZY",
        "import_module('django_loom.db.registry')",
    ],
)
def test_a_private_name_is_found(source: str) -> None:
    assert len(list(faults(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import django_loom\ndjango_loom.pool('default').statistics()",
        "from django_loom import atomic, run_sync",
        "from django_loom.asgi import get_asgi_application",
        "from django_loom.lab import ChildProcess",
        "ENGINE = 'django_loom.db.sqlite3'",
        "text = 'django_loom is one app'",
        "from .django_loom import anything",
    ],
)
def test_a_public_name_is_not_found(source: str) -> None:
    assert not list(faults(source))
