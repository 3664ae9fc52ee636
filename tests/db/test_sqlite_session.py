"""What changes an SQLite session belongs to its unit, on a database in a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connections

import django_loom
from django_loom import run_sync
from django_loom.bridge import unit_of_work
from tests.db.support import aask, in_use
from tests.loops import LoopRunner

pytestmark = pytest.mark.usefixtures("sqlite_tables")

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
    assert (in_use("sqlite"), pinned()) == (0, 0)


def execute(statement: str) -> None:
    with connections["sqlite"].cursor() as cursor:
        cursor.execute(statement)


def pinned() -> int:
    return django_loom.pool("sqlite").statistics().pinned


async def answer(sql: str) -> Any:
    try:
        return await aask(sql, using="sqlite")
    except OperationalError:
        return None  # there is no such table


@pytest.mark.parametrize(("statement", "sql", "changed"), CHANGING)
def test_it_holds_for_the_unit_and_nobody_after_it(
    loop_runner: LoopRunner, statement: str, sql: str, changed: Any
) -> None:
    async def main() -> None:
        with unit_of_work():
            await run_sync(execute, statement)
            assert (in_use("sqlite"), pinned()) == (1, 1)
            assert await answer(sql) == changed  # in another call of the unit
        # A session of SQLite's can't be reset: its connection is closed.
        assert (in_use("sqlite"), pinned()) == (0, 0)
        assert await answer(sql) != changed

    loop_runner(main)


@pytest.mark.parametrize("statement", NOT_CHANGING)
def test_other_statements_pin_nothing(loop_runner: LoopRunner, statement: str) -> None:
    async def main() -> None:
        with unit_of_work():
            await run_sync(execute, statement)
            assert (in_use("sqlite"), pinned()) == (0, 0)

    loop_runner(main)
