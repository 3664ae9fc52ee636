"""The table of call sites is Django's; rebinding can be undone; imports change nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

import django
import pytest

from django_loom import reroute
from django_loom.reroute_table import ASYNC_TO_SYNC_SITES, CALL_SITES, Bridge, Thread

DJANGO = Path(django.__file__).parent
# What supported versions had and the newest does not have, or the other way round.
NOT_IN_EVERY_VERSION = {
    "django.contrib.auth",
    "django.contrib.auth.hashers",
    "django.contrib.auth.middleware",
    "django.core.cache.backends.base",
    "django.core.handlers.asgi",
    "django.core.paginator",
    "django.tasks.backends.base",
    "django.tasks.base",
}

Sites = dict[str, set[str]]


def functions_with(name: str, tree: ast.AST, around: str = "") -> Iterator[str]:
    """The functions, decorators included, in which the name occurs, by qualified name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from functions_with(name, node, f"{around}.{node.name}".lstrip("."))
            continue
        is_name = isinstance(node, ast.Name) and node.id == name
        if is_name or (isinstance(node, ast.Attribute) and node.attr == name):
            yield around
        yield from functions_with(name, node, around)


def sites_in_django(name: str) -> Sites:
    found: Sites = defaultdict(set)
    for path in DJANGO.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        if name in source:
            module = ".".join(("django", *path.relative_to(DJANGO).with_suffix("").parts))
            found[module.removesuffix(".__init__")] |= set(functions_with(name, ast.parse(source)))
    return {module: functions for module, functions in found.items() if functions}


def table(name: str) -> Sites:
    if name == "async_to_sync":
        return {module: set(names.split()) for module, names in ASYNC_TO_SYNC_SITES.items()}
    return {module: set(sites.functions.split()) for module, sites in CALL_SITES.items()}


@pytest.mark.parametrize("name", ["sync_to_async", "async_to_sync"])
def test_each_call_site_of_the_installed_django_is_in_the_table(name: str) -> None:
    listed = table(name)
    missing = {
        f"{module}: {function or 'the module itself'}"
        for module, functions in sites_in_django(name).items()
        for function in functions - listed.get(module, set())
    }
    assert missing == set()


@pytest.mark.parametrize("name", ["sync_to_async", "async_to_sync"])
def test_the_table_lists_nothing_that_django_does_not_have(name: str) -> None:
    present = sites_in_django(name)
    stale = {
        module
        for module, functions in table(name).items()
        if functions - present.get(module, set())
    }
    assert stale <= NOT_IN_EVERY_VERSION


def test_the_walk_finds_calls_decorators_and_attributes() -> None:
    source = """
import asgiref.sync
at_module_level = sync_to_async(print)
class C:
    async def method(self):
        @sync_to_async
        def inner(): ...
        await inner()
    def other(self):
        return asgiref.sync.sync_to_async(self.method)
"""
    found = set(functions_with("sync_to_async", ast.parse(source)))
    assert found == {"", "C.method.inner", "C.other"}


def test_each_call_that_goes_to_a_thread_has_its_reason() -> None:
    threads = [sites.policy for sites in CALL_SITES.values() if isinstance(sites.policy, Thread)]
    partly = [sites.policy for sites in CALL_SITES.values() if isinstance(sites.policy, Bridge)]
    assert all(policy.reason for policy in threads)
    assert all(policy.reason for policy in partly if policy.blocks is not None)


def values() -> dict[str, Any]:
    """What each name of the table is bound to now."""
    found = {}
    for row in reroute.REBINDINGS:
        try:
            module = import_module(row.module)
            value = attrgetter(row.attribute)(module)
            found[f"{row.module}.{row.attribute}"] = getattr(value, "__func__", value)
        except (ModuleNotFoundError, AttributeError):
            continue
    return found


def test_installing_and_uninstalling_restores_every_name() -> None:
    assert reroute.is_installed()
    installed = values()
    reroute.uninstall()
    try:
        assert not reroute.is_installed()
        original = values()
        changed = {name for name in original if original[name] is not installed[name]}
        assert changed == {
            f"{row.module}.{row.attribute}" for row in reroute.REBINDINGS if reroute._applies(row)
        } & set(original)
        reroute.install()
        reroute.install()
        reroute.uninstall()
        after = values()
        assert {name for name in original if after[name] is not original[name]} == set()
        reroute.uninstall()
    finally:
        reroute.install()


def test_rebinding_keeps_the_connections_of_this_thread() -> None:
    from django.db import connections

    connection = connections["default"]
    reroute.uninstall()
    try:
        assert connections["default"] is connection
    finally:
        reroute.install()
    assert connections["default"] is connection


PROGRAM = """
import sys
import asgiref.sync, django.db, django.db.transaction
names = {
    "asgiref.sync": ["AsyncToSync.__call__", "SyncToAsync.thread_handler", "sync_to_async"],
    "django.db": ["connections._connections"],
    "django.db.transaction": ["Atomic.__enter__", "Atomic.__exit__"],
    "django.db.models.query": ["sync_to_async"],
    "django.contrib.auth.hashers": ["make_password", "verify_password"],
}
from importlib import import_module
from operator import attrgetter
def values():
    return [attrgetter(name)(import_module(m)) for m, each in names.items() for name in each]
before = values()
import django_loom, django_loom.reroute, django_loom.bridge, django_loom.exceptions
django_loom.run_sync, django_loom.await_
assert all(a is b for a, b in zip(before, values(), strict=True))
assert not django_loom.reroute.is_installed()
"""


def test_importing_django_loom_changes_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_django_loom_needs_no_settings() -> None:
    program = "import django_loom, asyncio; assert asyncio.run(django_loom.run_sync(int, '7')) == 7"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=50)
