"""Loops, servers and tables for the tests."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import django
import pytest
import uvloop

from tests import services

Run = Callable[..., Any]

LOOPS = ["asyncio", "uvloop"]
if sys.version_info >= (3, 12):
    LOOPS.append("eager")

KEPT_TABLES = {"django_content_type", "auth_permission"}  # filled when the tables are made


def pytest_configure() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()


def new_loop(kind: str) -> asyncio.AbstractEventLoop:
    if kind == "uvloop":
        return uvloop.new_event_loop()
    loop = asyncio.new_event_loop()
    if kind == "eager":
        loop.set_task_factory(asyncio.eager_task_factory)
    return loop


@pytest.fixture(params=LOOPS)
def loop_runner(request: pytest.FixtureRequest) -> Run:
    """`run(function, *args)` or `run(coroutine)`: like asyncio.run, on each kind of loop."""

    def run(main: Callable[..., Awaitable[Any]] | Awaitable[Any], *args: Any) -> Any:
        awaitable = main(*args) if callable(main) else main
        with asyncio.Runner(loop_factory=lambda: new_loop(request.param)) as runner:
            return runner.run(_coroutine(awaitable))

    return run


async def _coroutine(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


@pytest.fixture(scope="session")
def postgres() -> Iterator[services.Postgres]:
    """The session's PostgreSQL server, from LOOM_TEST_POSTGRES or a private one."""
    with services.postgres() as server:
        yield server


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[services.PrivatePostgres]:
    """A server that a module's tests may stop, restart and reconfigure."""
    with services.private_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_tables(postgres: services.Postgres) -> Iterator[None]:
    """The databases of the aliases `default` and `other`, with their tables."""
    from django.conf import settings

    for alias in ["default", "other"]:
        address = postgres.django(NAME=settings.DATABASES[alias]["NAME"])
        settings.DATABASES[alias].update(address)
    yield from _databases(["default", "other"])


@pytest.fixture(scope="session")
def sqlite_tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The database of the alias `sqlite`, a file, with its tables."""
    from django.conf import settings

    path = tmp_path_factory.mktemp("sqlite") / "loom.sqlite3"
    settings.DATABASES["sqlite"]["TEST"]["NAME"] = str(path)
    for _ in _databases(["sqlite"]):
        yield path


def _databases(aliases: list[str]) -> Iterator[None]:
    from django.db import connections
    from django.test.utils import setup_databases, teardown_databases

    made = setup_databases(verbosity=0, interactive=False, aliases=aliases)
    for alias in aliases:
        connections[alias].close()
    yield
    for alias in aliases:
        connections[alias].close()
    teardown_databases(made, verbosity=0)


@pytest.fixture
def db_tables(postgres_tables: None) -> Iterator[None]:
    """PostgreSQL's tables, empty at the start of the next test."""
    yield
    _empty(["default", "other"])


@pytest.fixture
def sqlite_db(sqlite_tables: Path) -> Iterator[Path]:
    """SQLite's tables, empty at the start of the next test."""
    yield sqlite_tables
    _empty(["sqlite"])


def _empty(aliases: list[str]) -> None:
    from django.core.management.color import no_style
    from django.db import connections

    for alias in aliases:
        connection = connections[alias]
        tables = sorted(set(connection.introspection.django_table_names()) - KEPT_TABLES)
        connection.ops.execute_sql_flush(
            connection.ops.sql_flush(no_style(), tables, reset_sequences=True)
        )
        connection.close()
