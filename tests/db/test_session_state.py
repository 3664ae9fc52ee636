"""What changes a PostgreSQL session belongs to its unit, and nobody after it finds it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.db.models.functions import Upper
from psycopg import sql

import django_loom
from django_loom import run_sync
from django_loom.bridge import unit_of_work
from tests.db.support import (
    TAG,
    aask,
    execute,
    in_use,
    pinned,
    second_alias,
)
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables")


# Which statements: each as the server sees it.

CHANGING = [
    "SET loom.tag = 'x'",
    "set session loom.tag = 'x'",
    "SET ROLE NONE",
    "SET search_path = public",
    "SET TIME ZONE 'UTC'",
    "RESET loom.tag",
    "RESET ALL",
    "LISTEN news",
    "UNLISTEN *",
    "PREPARE plan AS SELECT 1",
    "DEALLOCATE ALL",
    "DISCARD PLANS",
    "DISCARD SEQUENCES",
    "DISCARD TEMP",
    "DISCARD ALL",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_try_advisory_lock(1)",
    "SELECT pg_advisory_lock_shared(1)",
    "SELECT set_config('loom.tag', 'x', false)",
    "SELECT set_config('loom.tag', 'x', (1 = 0))",
    "CREATE TEMP TABLE t (n int)",
    "create temporary view v AS SELECT 1",
    "CREATE TEMP TABLE t AS SELECT 1",
    "SELECT 1 AS n INTO TEMP t",
    "CREATE TABLE pg_temp.t (n int)",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "SELECT 1; SET loom.tag = 'x'",
    "SET loom.tag = 'x'; SELECT 1; LISTEN news",
    "SET LOCAL lock_timeout = 1000; SET loom.tag = 'x'",
    "SELECT 1; -- why\n SET loom.tag = 'x'",
    "SELECT 1; /* why */ SET loom.tag = 'x'",
    "/* why /* or so */ not */ SET loom.tag = 'x'",
    "SET /* not */ loom.tag = 'x'",
    "SET local.tag = 'x'",
    "CREATE /* for now */ TEMP TABLE t (n int)",
    "SELECT pg_catalog.\"set_config\"('loom.tag', 'x', false)",
    "SELECT set_config('a.b', 'x', true), set_config('loom.tag', 'x, true)', false)",
    "SELECT set_config('loom.tag', 'it''s, true', false)",
    "SELECT set_config(concat('loom.tag', '', true), 'x', false)",
    "SELECT '/*', set_config('loom.tag', 'x', false), '*/'",
    "UPDATE pg_settings SET setting = 'x' WHERE name = 'application_name'",
    "SELECT setseed(0.5)",
]
NOT_CHANGING = [
    "SELECT 1",
    "SELECT 'set'",
    "UPDATE testapp_author SET name = 'x'",
    "SELECT set_config('loom.tag', 'x', true)",
    "SELECT set_config('loom.tag', 'it''s (not so), false', true)",
    "SELECT '; ' AS set, '-- SET x' AS load",
    "SELECT name FROM pg_settings LIMIT 1",
    "/* why */ SELECT 1 -- why\n; UPDATE testapp_author SET name = 'x'",
    "SELECT pg_advisory_xact_lock(1)",
    "SELECT pg_try_advisory_xact_lock(1)",
    "SHOW search_path",
    "NOTIFY news",
    # A DO block's, and a function's, are not seen: pin() is for those.
    "DO $$ BEGIN PERFORM 1; END $$",
]
IN_TRANSACTION = [
    "SET LOCAL loom.tag = 'x'",
    "  set local loom.tag = 'x'",
    "/* why */ SET LOCAL loom.tag = 'x'; -- why\n SET LOCAL a.b = 'x'; SELECT 1",
    "SET TRANSACTION READ ONLY",
    "SET CONSTRAINTS ALL DEFERRED",
    "DECLARE c CURSOR FOR SELECT 1",
]


@pytest.mark.parametrize("statement", CHANGING)
def test_a_statement_that_changes_the_session_pins_it_and_is_undone(statement: str) -> None:
    async def main() -> None:
        with unit_of_work():
            await run_sync(execute, statement)
            assert (in_use(), pinned()) == (1, 1)
        await aeventually(lambda: in_use() == 0)
        assert pinned() == 0
        assert await aask(TAG) in (None, "")

    asyncio.run(main())


@pytest.mark.parametrize("statement", NOT_CHANGING)
def test_other_statements_leave_the_connection_to_all(statement: str) -> None:
    async def main() -> None:
        with unit_of_work():
            await run_sync(execute, statement)
            assert (in_use(), pinned()) == (0, 0)

    asyncio.run(main())


@pytest.mark.parametrize("statement", IN_TRANSACTION)
def test_what_ends_with_the_transaction_pins_nothing(statement: str) -> None:
    async def main() -> None:
        with unit_of_work():
            async with django_loom.atomic():
                await run_sync(execute, statement)
                assert pinned() == 0
            assert in_use() == 0

    asyncio.run(main())


def call_procedure(cursor: Any) -> None:
    cursor.callproc("set_config", ["loom.tag", "x", "false"])


def execute_bytes(cursor: Any) -> None:
    cursor.execute(b"SET loom.tag = 'x'")


def execute_composed(cursor: Any) -> None:
    function = sql.Identifier("set_config")
    cursor.execute(sql.SQL("SELECT {}('loom.tag', 'x', false)").format(function))


def execute_many(cursor: Any) -> None:
    cursor.executemany("SET loom.tag = 'x'", [[], []])


def copy_out(cursor: Any) -> None:
    with cursor.copy(f"COPY ({CONFIGURE}) TO STDOUT") as rows:
        list(rows)


def stream(cursor: Any) -> None:
    list(cursor.stream(CONFIGURE))


def use_server_side_cursor(cursor: Any) -> None:
    with cursor.db.chunked_cursor() as chunked:
        chunked.execute(CONFIGURE)
        chunked.fetchall()


def use_named_cursor(cursor: Any) -> None:
    with transaction.atomic(cursor.db.alias), cursor.connection.cursor("name") as named:
        named.execute(CONFIGURE)
        named.fetchall()


def use_pipeline(cursor: Any) -> None:
    with cursor.connection.pipeline():
        cursor.execute("SET loom.tag = 'x'")


def use_drivers_connection(cursor: Any) -> None:
    cursor.connection.execute("SET loom.tag = 'x'")


CONFIGURE = "SELECT set_config('loom.tag', 'x', false)"
WAYS = [
    call_procedure,
    execute_bytes,
    execute_composed,
    execute_many,
    copy_out,
    stream,
    use_server_side_cursor,
    use_named_cursor,
    use_pipeline,
    use_drivers_connection,
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("options", [{}, {"server_side_binding": True}])
def test_a_change_pins_however_it_is_sent(
    loop_runner: LoopRunner, way: Callable[[Any], None], options: dict[str, Any]
) -> None:
    def change(alias: str) -> None:
        with connections[alias].cursor() as cursor:
            way(cursor)

    async def main() -> None:
        with second_alias(OPTIONS={"pool": {"max_size": 1}, **options}) as alias:
            with unit_of_work():
                await run_sync(change, alias)
                assert (await aask(TAG, using=alias), pinned(alias)) == ("x", 1)
            assert await aask(TAG, using=alias) in (None, "")

    loop_runner(main)


def test_the_orm_pins_nothing(loop_runner: LoopRunner) -> None:
    def work() -> None:
        ann, ben = Author.objects.bulk_create([Author(name="; SET a"), Author(name="-- b")])
        Author.objects.filter(pk=ann.pk).update(name=Upper("name"))
        Author.objects.update_or_create(pk=ben.pk, defaults={"name": "create temp"})
        with transaction.atomic():
            list(Author.objects.select_for_update())
            execute("SET LOCAL lock_timeout = 1000", "SELECT pg_advisory_xact_lock(1)")
            with transaction.atomic():
                ann.delete()
        list(Author.objects.order_by("?").iterator(chunk_size=1))
        with connection.cursor() as cursor:
            cursor.executemany("UPDATE testapp_author SET name = %s", [["a"], ["set_config("]])
            with cursor.copy("COPY testapp_author (name) FROM STDIN") as copy:
                copy.write_row(["; SET c"])
        assert pinned() == 0

    async def main() -> None:
        with unit_of_work():
            await run_sync(work)
            assert (in_use(), pinned()) == (0, 0)

    loop_runner(main)
