"""Find code of a project to which a thread is somebody: values kept by it, locks of it.

Only the source is read, and nothing is imported but the packages that middleware is in.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from django.apps import apps
from django.conf import settings

from .policy import belongs_to_threads

_MODULES = {"threading", "_thread"}
_THREADS = {"current_thread", "currentThread", "get_ident"}
_LOCKS = {"Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore"}
_LABELS = {"name", "getName", "daemon"}  # of a thread: for a log, not for a value


class Use(NamedTuple):
    """Where a module uses a name of ``threading`` first."""

    module: str
    name: str
    line: int


def thread_keys() -> Iterator[Use]:
    """Return the modules that ask which thread they are in, by which they may keep values."""
    loaded = {name: _file(name) for name, _ in project_modules() if not _is_of_tests(name)}
    for module, path in {**loaded, **_middleware()}.items():
        yield from _first_use(module, path, _THREADS)


def locks_of_middleware() -> Iterator[Use]:
    """Return the modules of middleware that make a lock of threads."""
    for module, path in _middleware().items():
        yield from _first_use(module, path, _LOCKS)


def project_modules() -> Iterator[tuple[str, ModuleType]]:
    """Return what is imported of the packages that settings name, by its name."""
    packages = {name.partition(".")[0] for name in _named_by_settings()}
    for name, module in list(sys.modules.items()):
        if (
            name.partition(".")[0] in packages
            and isinstance(module, ModuleType)
            and not belongs_to_threads(name)
        ):
            yield name, module


def _named_by_settings() -> Iterator[str]:
    yield from (config.name for config in apps.get_app_configs())
    yield from (name for name in settings.MIDDLEWARE if isinstance(name, str))
    for setting in ("SETTINGS_MODULE", "ROOT_URLCONF"):
        name = getattr(settings, setting, None)
        if isinstance(name, str):
            yield name


def _is_of_tests(module: str) -> bool:
    return any(part == "tests" or part.startswith("test_") for part in module.split("."))


def _middleware() -> dict[str, str | None]:
    """Return the modules of the middleware, with their source files."""
    found: dict[str, str | None] = {}
    for name in settings.MIDDLEWARE:
        module = name.rpartition(".")[0] if isinstance(name, str) else ""
        if module and not belongs_to_threads(module):
            found[module] = _file(module)
    return found


def _file(module: str) -> str | None:
    if module in sys.modules:
        return getattr(sys.modules[module], "__file__", None)
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    return None if spec is None else spec.origin


def _first_use(module: str, path: str | None, names: set[str]) -> Iterator[Use]:
    source = _source(path)
    if any(name.encode() in source for name in names):  # most have none: parsing takes long
        try:
            yield from sorted(_uses(module, ast.parse(source), names), key=lambda use: use.line)[:1]
        except (SyntaxError, ValueError):
            return


def _source(path: str | None) -> bytes:
    try:
        return Path(path).read_bytes() if path and path.endswith(".py") else b""
    except OSError:
        return b""


def _uses(module: str, tree: ast.AST, names: set[str]) -> Iterator[Use]:
    known = dict(_imported(tree))
    labels = set(_labels(tree, known))
    for node in ast.walk(tree):
        name = _name(node, known)
        if name in names and node not in labels:
            yield Use(module, name, node.lineno)  # type: ignore[attr-defined]


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Return what a module calls ``threading`` and the names of that, and what they are."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((a.asname or a.name, "") for a in node.names if a.name in _MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in _MODULES:
            yield from ((a.asname or a.name, a.name) for a in node.names)


def _name(node: ast.AST, known: dict[str, str]) -> str:
    """Return which name of ``threading`` an expression is, or an empty string."""
    if isinstance(node, ast.Name):
        return known.get(node.id, "")
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.attr if known.get(node.value.id) == "" else ""
    return ""


def _labels(tree: ast.AST, known: dict[str, str]) -> Iterator[ast.AST]:
    """Return the uses after which no value is looked for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in _LABELS:
            yield from _called(node.value)
        elif isinstance(node, ast.Compare):
            sides = [each for side in (node.left, *node.comparators) for each in _called(side)]
            if any(_name(each, known) == "main_thread" for each in sides):
                yield from sides


def _called(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Call):
        yield node.func
