"""Who is cancelled while another's statement has the connection ends his own wait, nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connections
from django.db.backends.signals import connection_created

import django_loom
from django_loom import run_sync
from django_loom.bridge import unit_of_work
from tests.db.faults import Admin
from tests.db.support import aask, ask, in_use, let_others_run, second_alias
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.services import Postgres
from tests.testapp.models import Author

Blocks = Callable[[str], AbstractAsyncContextManager[None]]
BLOCKS: list[Blocks] = [django_loom.pin, django_loom.atomic]
POOL = {"max_size": 2, "timeout": 20}


class PostgreSQL:
    """A database on which a statement runs until it is told to end."""

    statement = "SELECT meet(2)"

    def __init__(self, postgres: Postgres) -> None:
        self._admin = Admin(postgres)
        self._dsn = postgres.dsn

    def is_running(self) -> bool:
        return bool(self._admin.running("meet(2)"))

    def let_it_end(self) -> None:
        name = settings.DATABASES["default"]["NAME"]
        with psycopg.connect(self._dsn, dbname=name, autocommit=True) as connection:
            connection.execute(self.statement)


class SQLite:
    """The same; the function is there before the session begins."""

    statement = "SELECT held()"

    def __init__(self) -> None:
        self._begun, self._go_on = threading.Event(), threading.Event()

    def add_function(self, connection: Any, **kwargs: Any) -> None:
        if connection.vendor == "sqlite":
            connection.connection.create_function("held", 0, self._held)

    def _held(self) -> int:
        self._begun.set()
        return int(self._go_on.wait(30))

    def is_running(self) -> bool:
        return self._begun.is_set()

    def let_it_end(self) -> None:
        self._go_on.set()


@pytest.fixture
def postgresql(postgres: Postgres, meeting_point: None) -> Iterator[tuple[str, PostgreSQL]]:
    with second_alias("default", OPTIONS={"pool": POOL}) as alias:
        yield alias, PostgreSQL(postgres)


@pytest.fixture
def sqlite(sqlite_tables: None) -> Iterator[tuple[str, SQLite]]:
    held = SQLite()
    connection_created.connect(held.add_function)
    with second_alias("sqlite", OPTIONS={"pool": POOL}) as alias:
        yield alias, held
    connection_created.disconnect(held.add_function)


@pytest.fixture(params=["postgresql", "sqlite"])
def database(request: pytest.FixtureRequest) -> tuple[str, Any]:
    found: tuple[str, Any] = request.getfixturevalue(request.param)
    return found


async def statement(alias: str) -> None:
    await aask("SELECT 1", using=alias)


async def insert(alias: str) -> None:
    await Author.objects.using(alias).acreate(name="cancelled")


async def server_side_cursor(alias: str) -> None:
    async for _ in Author.objects.using(alias).aiterator():
        pass


async def on_loop(sql: str, alias: str) -> Any:
    return await aask(sql, using=alias)


async def in_thread(sql: str, alias: str) -> Any:
    return await asyncio.to_thread(ask, sql, using=alias)


def identity(alias: str) -> int:
    wrapper: Any = connections[alias]
    wrapper.ensure_connection()
    return id(wrapper.connection)


@pytest.mark.parametrize("waits", [statement, insert, server_side_cursor])
@pytest.mark.parametrize("runs", [on_loop, in_thread])
@pytest.mark.parametrize("block", BLOCKS)
def test_a_call_that_is_cancelled_before_its_turn_harms_nobody(
    loop_runner: LoopRunner,
    database: tuple[str, Any],
    block: Blocks,
    runs: Callable[[str, str], Awaitable[Any]],
    waits: Callable[[str], Awaitable[None]],
) -> None:
    alias, held = database

    async def main() -> None:
        with unit_of_work():
            async with block(alias):
                before = await run_sync(identity, alias)
                running = asyncio.ensure_future(runs(held.statement, alias))
                await aeventually(held.is_running)
                waiting = asyncio.ensure_future(waits(alias))
                await let_others_run()
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                await asyncio.to_thread(held.let_it_end)
                assert await running
                assert await run_sync(identity, alias) == before
                await Author.objects.using(alias).acreate(name="after")
        assert [each.name async for each in Author.objects.using(alias).all()] == ["after"]
        await aeventually(lambda: in_use(alias) == 0)

    loop_runner(main)


def test_a_reader_that_is_cancelled_before_its_turn_harms_nobody(
    loop_runner: LoopRunner, postgresql: tuple[str, PostgreSQL]
) -> None:
    alias, held = postgresql

    async def read(begun: asyncio.Event) -> None:
        async for _ in Author.objects.using(alias).aiterator(chunk_size=1):
            begun.set()
            await let_others_run()

    async def main() -> None:
        with unit_of_work():
            async with django_loom.pin(alias):
                await Author.objects.using(alias).abulk_create(
                    [Author(name=f"{n}") for n in range(200)]
                )
                begun = asyncio.Event()
                reading = asyncio.ensure_future(read(begun))
                await begun.wait()
                running = asyncio.ensure_future(on_loop(held.statement, alias))
                await aeventually(held.is_running)
                await let_others_run(50)
                reading.cancel()
                await let_others_run()
                await asyncio.to_thread(held.let_it_end)
                assert await running
                with pytest.raises(asyncio.CancelledError):
                    await reading
                assert await aask("SELECT 1", using=alias) == 1
        await aeventually(lambda: in_use(alias) == 0)

    loop_runner(main)
