"""What the database tests share: a look at the server and at the pool."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from django.conf import settings
from django.db import OperationalError, connections, transaction
from django.db.models import Func, IntegerField, Value

import django_loom
from django_loom.db import registry

Body = Callable[[], Awaitable[Any]]
Around = Callable[[Body], Awaitable[Any]]


# A setting of the session; a statement changes it for those that follow.
TAG = "SELECT current_setting('loom.tag', true)"


def execute(*statements: str, using: str = "default") -> None:
    with connections[using].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def ask(sql: str, *params: Any, using: str = "default") -> Any:
    """The first column of the first row."""
    with connections[using].cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchone()[0]


def backend_pid(using: str = "default") -> int:
    """Which of the server's processes, that is which connection, serves the caller."""
    return ask("SELECT pg_backend_pid()", using=using)


async def aask(sql: str, *params: Any, using: str = "default") -> Any:
    return await django_loom.run_sync(ask, sql, *params, using=using)


async def abackend_pid(using: str = "default") -> int:
    return await django_loom.run_sync(backend_pid, using)


def in_use(using: str = "default") -> int:
    return django_loom.pool(using).statistics().used


def pinned(using: str = "default") -> int:
    return django_loom.pool(using).statistics().pinned


async def answer_of_sqlite(sql: str) -> Any:
    """The first column of the first row; None if there is no such table."""
    try:
        return await aask(sql, using="sqlite")
    except OperationalError:
        return None


async def let_others_run(turns: int = 20) -> None:
    """Give every task that can go on the chance to do so."""
    for _ in range(turns):
        await asyncio.sleep(0)


# Three ways to run async code in a transaction.


async def in_async_with(body: Body) -> Any:
    async with django_loom.atomic():
        return await body()


async def in_decorated(body: Body) -> Any:
    @django_loom.atomic
    async def decorated() -> Any:
        return await body()

    return await decorated()


async def in_sync_block(body: Body) -> Any:
    def block() -> Any:
        with transaction.atomic():
            return django_loom.await_(body())

    return await django_loom.run_sync(block)


ATOMICS: list[Around] = [in_async_with, in_decorated, in_sync_block]


# Queries that end only when others run at the same time.

MEETING_POINT = """
CREATE SEQUENCE arrivals;
CREATE FUNCTION meet(parties int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval('arrivals');
    WHILE (SELECT last_value FROM arrivals) < parties LOOP
        PERFORM pg_sleep(0.001);
    END LOOP;
    RETURN pg_backend_pid();
END $$
"""
NO_MEETING_POINT = "DROP FUNCTION meet(int); DROP SEQUENCE arrivals"


def meet(parties: int) -> Func:
    """Ends when so many queries are in it; returns the backend's pid."""
    return Func(Value(parties), function="meet", output_field=IntegerField())


# Databases with other settings.


@contextmanager
def database(alias: str, **entry: Any) -> Iterator[None]:
    """Add an alias to settings.DATABASES for a while."""
    settings.DATABASES[alias] = entry
    connections.configure_settings(settings.DATABASES)
    try:
        yield
    finally:
        registry.close(alias)
        own = connections_of_this_thread().get(alias)
        if own is not None:
            if own.connection is not None:
                own.connection.close()  # Django's close() spares a database in memory
            del connections[alias]
        del settings.DATABASES[alias]


@contextmanager
def second_alias(of: str = "default", *, name: str = "", **changes: Any) -> Iterator[str]:
    """Another alias of a database, with a pool of its own.

    :param name: of the alias; for a test whose code runs in a thread that lives on, and that
        may have an object of the usual name.
    """
    entry = deepcopy(settings.DATABASES[of]) | changes
    alias = name or f"{of}_again"
    with database(alias, **entry):
        yield alias


@contextmanager
def without_pool(alias: str = "default") -> Iterator[None]:
    """Let the settings of a database have no OPTIONS["pool"] for a while."""
    entry = settings.DATABASES[alias]
    before, entry["OPTIONS"] = entry["OPTIONS"], {}
    try:
        _begin_again(alias)
        yield
    finally:
        entry["OPTIONS"] = before
        _begin_again(alias)


def _begin_again(alias: str) -> None:
    registry.close(alias)
    if alias in connections_of_this_thread():
        connections[alias].close()
        del connections[alias]


def connections_of_this_thread() -> dict[str, Any]:
    storage: Any = connections._connections
    return storage.of_this_thread()
