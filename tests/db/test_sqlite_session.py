"""What changes an SQLite session belongs to its unit, on a database in a file."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction

from django_loom import await_, run_sync
from django_loom.bridge import unit_of_work
from django_loom.db.sqlite3.base import SQLiteEngine
from django_loom.db.sqlite3.connection import SQLiteConnection
from tests.db.support import aask, answer_of_sqlite, in_use, pinned
from tests.loops import LoopRunner

# What is noted of a statement, in the thread of its driver.
pytestmark = [pytest.mark.usefixtures("sqlite_tables"), pytest.mark.one_loop]

# Statement; what tells if it holds, and the answer where it does.
CHANGING = [
    ("PRAGMA cache_size = 77", "PRAGMA cache_size", 77),
    ("pragma main.cache_size=77", "PRAGMA cache_size", 77),
    ("PRAGMA query_only(1)", "PRAGMA query_only", 1),
    ("PRAGMA main . 'cache_size' ( 77 )", "PRAGMA cache_size", 77),
    ("/* a */ PRAGMA query_only=1", "PRAGMA query_only", 1),
    ("-- a\n\t/*/ b */PRAGMA/**/query_only--\n=/* c */1 -- d", "PRAGMA query_only", 1),
    (";\ufeffPRAGMA [query_only] = 1;", "PRAGMA query_only", 1),
    ("EXPLAIN PRAGMA cache_size = 77", "PRAGMA cache_size", 77),
    ("ATTACH ':memory:' AS beside", "SELECT count(*) FROM pragma_database_list", 2),
    ("/**/ATTACH/**/':memory:' AS beside", "SELECT count(*) FROM pragma_database_list", 2),
    ("CREATE TEMP TABLE mine AS SELECT 7 AS n", "SELECT n FROM mine", 7),
    ("create temporary view mine AS SELECT 7 AS n", "SELECT n FROM mine", 7),
    ("-- a\nCREATE /* ( */ TEMP TABLE mine AS SELECT 7 AS n", "SELECT n FROM mine", 7),
    ('CREATE TABLE "temp".mine AS SELECT 7 AS n', "SELECT n FROM mine", 7),
    ("CREATE VIEW IF NOT EXISTS temp.mine(n) AS SELECT 7", "SELECT n FROM mine", 7),
]
NOT_CHANGING = [
    "PRAGMA cache_size",
    "/* a */ PRAGMA main.cache_size; -- b",
    "SELECT 'attach', '/*', 'pragma cache_size = 77'",
    "EXPLAIN QUERY PLAN SELECT 1",
    "PRAGMA table_info(testapp_author)",
    "PRAGMA 'main'.foreign_key_list('testapp_author')",
    "PRAGMA foreign_key_check = testapp_author",
]


@pytest.fixture(autouse=True)
def no_lease_is_left() -> Iterator[None]:
    yield
    connections["sqlite"].close()
    assert (in_use("sqlite"), pinned("sqlite")) == (0, 0)


def execute(statement: str) -> None:
    with connections["sqlite"].cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize(("statement", "sql", "changed"), CHANGING)
def test_it_holds_for_the_unit_and_nobody_after_it(
    loop_runner: LoopRunner, statement: str, sql: str, changed: Any
) -> None:
    async def main() -> None:
        with unit_of_work():
            await run_sync(execute, statement)
            assert (in_use("sqlite"), pinned("sqlite")) == (1, 1)
            assert await answer_of_sqlite(sql) == changed  # in another call of the unit
        # A session of SQLite's can't be reset: its connection is closed.
        assert (in_use("sqlite"), pinned("sqlite")) == (0, 0)
        assert await answer_of_sqlite(sql) != changed

    loop_runner(main)


@pytest.mark.parametrize("statement", NOT_CHANGING)
def test_other_statements_pin_nothing(loop_runner: LoopRunner, statement: str) -> None:
    async def main() -> None:
        with unit_of_work():
            await run_sync(execute, statement)
            assert (in_use("sqlite"), pinned("sqlite")) == (0, 0)

    loop_runner(main)


def close_after(statement: str) -> None:
    execute(statement)
    connections["sqlite"].connection.close()


def close_in_block() -> None:
    with transaction.atomic("sqlite"):
        connections["sqlite"].connection.close()


async def waits(function: Callable[..., None], *args: Any) -> None:
    await run_sync(lambda: (function(*args), await_(asyncio.sleep(0))))


async def in_thread(function: Callable[..., None], *args: Any) -> None:
    await sync_to_async(function, thread_sensitive=False)(*args)


@pytest.mark.parametrize("run", [run_sync, waits, in_thread])
@pytest.mark.parametrize("statement", ["SELECT 1", "PRAGMA cache_size = 77", "BEGIN"])
def test_a_connection_that_code_has_closed_itself_is_just_replaced(
    loop_runner: LoopRunner, caplog: pytest.LogCaptureFixture, run: Any, statement: str
) -> None:
    async def main() -> None:
        with unit_of_work():
            await run(close_after, statement)
        assert (in_use("sqlite"), pinned("sqlite")) == (0, 0)
        assert await aask("SELECT 7", using="sqlite") == 7

    with caplog.at_level(logging.INFO, "django_loom"):
        loop_runner(main)
    assert caplog.records == []


@pytest.mark.parametrize("run", [run_sync, in_thread])
def test_a_block_whose_connection_code_has_closed_frees_its_place(
    loop_runner: LoopRunner, run: Any
) -> None:
    async def main() -> None:
        with unit_of_work():
            with pytest.raises(Exception, match=r"shutdown|closed"):
                await run(close_in_block)
            assert (in_use("sqlite"), pinned("sqlite")) == (0, 0)
            assert await aask("SELECT 7", using="sqlite") == 7

    loop_runner(main)


def test_a_closed_connection_is_neither_open_nor_idle() -> None:
    connection = SQLiteConnection.open(lambda: sqlite3.connect(":memory:"), "closed")
    engine = SQLiteEngine()

    def answers() -> list[bool]:
        return [
            engine.is_open(connection),
            engine.is_idle(connection, True),
            engine.transaction_is_usable(connection),
            engine.reset_transaction(connection),
        ]

    assert answers() == [True] * 4
    for _ in range(2):
        connection.close()
        assert answers() == [False] * 4
