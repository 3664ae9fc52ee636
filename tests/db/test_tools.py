"""Tools that have put something of theirs in the place of a driver's or of Django's functions."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import psycopg
import pytest
from django.db import connections

import django_loom
from django_loom import run_sync
from tests.db.support import second_alias
from tests.loops import LoopRunner

pytestmark = pytest.mark.usefixtures("db_tables")


def noting(base: Any, seen: list[str]) -> type:
    """A cursor class that notes statements, as the tracing tools' do."""

    class Noting(base):  # type: ignore[misc]
        def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append(str(query))
            return super().execute(query, *args, **kwargs)

    return Noting


def test_a_wrapper_around_the_drivers_connect_sees_each_statement_once(
    loop_runner: LoopRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapt = pytest.importorskip("wrapt")
    seen: list[str] = []

    def traced(connect: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        opened = connect(*args, **kwargs)
        opened.cursor_factory = noting(opened.cursor_factory, seen)
        return opened

    def query(alias: str) -> list[str]:
        with connections[alias].cursor() as cursor:
            seen.clear()
            cursor.execute("SELECT 1")
            cursor.execute("SELECT %s", [2])
            return [each for each in seen if each.startswith("SELECT")]

    async def main(alias: str) -> list[str]:
        return await run_sync(query, alias)

    monkeypatch.setattr(psycopg, "connect", wrapt.FunctionWrapper(psycopg.connect, traced))
    expected = ["SELECT 1", "SELECT %s"]
    with second_alias(OPTIONS={}) as alias:
        assert query(alias) == expected  # of a plain thread
        assert loop_runner(main, alias) == expected
        assert loop_runner(main, alias) == expected


def test_a_server_side_cursor_in_a_tools_proxy(
    loop_runner: LoopRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ddtrace has them; Django asks the connection for one with server-side binding only."""
    wrapt = pytest.importorskip("wrapt")

    class Connection(wrapt.ObjectProxy):  # type: ignore[misc,name-defined]
        def cursor(self, *args: Any, **kwargs: Any) -> Any:
            return wrapt.ObjectProxy(self.__wrapped__.cursor(*args, **kwargs))

    def traced(connect: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        return Connection(connect(*args, **kwargs))

    def read(alias: str) -> tuple[list[str], int]:
        with connections[alias].chunked_cursor() as cursor:
            cursor.execute("SELECT set_config('loom.tag', 'x', false)")
            found = cursor.fetchall()
        return found, django_loom.pool(alias).statistics().pinned

    monkeypatch.setattr(psycopg, "connect", wrapt.FunctionWrapper(psycopg.connect, traced))
    with second_alias(OPTIONS={"server_side_binding": True}) as alias:
        assert loop_runner(run_sync, read, alias) == ([("x",)], 1)


PROGRAM = """
import asyncio, sys, types
from django.apps import AppConfig

calls = []
other = types.ModuleType("other")
other.__path__ = ["."]
sys.modules["other"] = other

class OtherConfig(AppConfig):
    name, path = "other", "."

    def ready(self):
        import django_loom
        django_loom.atomic  # as a module of the app has imported it
        from django.db.transaction import Atomic
        enter = Atomic.__enter__
        def counted(block):
            calls.append(block)
            return enter(block)
        Atomic.__enter__ = counted

OtherConfig.__module__ = "other"
other.OtherConfig = OtherConfig

import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["other.OtherConfig", "django_loom"],
    DATABASES={"default": {"ENGINE": "django_loom.db.sqlite3", "NAME": ":memory:"}},
)
django.setup()
from django.db import transaction
import django_loom

def block():
    with transaction.atomic():
        return len(calls)

async def main():
    assert await django_loom.run_sync(block) == 2
    async with django_loom.atomic():
        assert len(calls) == 3

assert block() == 1
asyncio.run(main())
"""


def test_a_method_of_atomic_that_was_replaced_before_our_app_was_loaded_is_called() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stderr) == (0, "")
