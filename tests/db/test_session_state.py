"""What a statement changes in a PostgreSQL session holds for its unit, and for no other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.db import connection, connections, transaction

import django_loom
from django_loom import run_sync
from django_loom.bridge import unit_of_work
from django_loom.db.postgresql.session import changes_session
from django_loom.exceptions import AutocommitLeftOff
from tests.db.support import aask, abackend_pid, ask, backend_pid, in_use
from tests.loops import LoopRunner
from tests.polling import aeventually

pytestmark = pytest.mark.usefixtures("db_tables")


@pytest.mark.parametrize(
    ("query", "tag", "expected"),
    [
        ("SET search_path = a", b"SET", True),
        ("set local search_path = a", b"SET", False),
        ("SET TRANSACTION READ ONLY", b"SET", False),
        ("RESET ALL", b"RESET", True),
        ("LISTEN news", b"LISTEN", True),
        ("PREPARE p AS SELECT 1", b"PREPARE", True),
        ("LOAD 'x'", b"LOAD", True),
        ("SELECT set_config('a.b', 'c', false)", b"SELECT 1", True),
        ("SELECT set_config(%s, %s, %s)", b"SELECT 1", True),
        ("SELECT set_config('a.b', 'c', true)", b"SELECT 1", False),
        ("SELECT pg_advisory_lock(1)", b"SELECT 1", True),
        ("SELECT pg_try_advisory_lock(1)", b"SELECT 1", True),
        ("SELECT pg_advisory_xact_lock(1)", b"SELECT 1", False),
        ("CREATE TEMP TABLE t ()", b"CREATE TABLE", True),
        ("CREATE TABLE t ()", b"CREATE TABLE", False),
        ("SELECT 1; SET a.b = 'c'", b"SELECT 1", True),
        ("SELECT temp FROM weather", b"SELECT 1", False),
        ("UPDATE t SET a = 1", b"UPDATE 1", False),
        (b"SET a.b = 'c'", b"SET", True),
    ],
)
def test_what_changes_a_session(query: Any, tag: bytes, expected: bool) -> None:
    assert changes_session(query, tag) is expected


def test_a_setting_holds_for_its_unit_and_is_gone_for_others(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        with unit_of_work():
            await run_sync(execute, "SET application_name = 'tenant'")
            pid = await abackend_pid()
            pids = await asyncio.gather(*(abackend_pid() for _ in range(5)))
            assert set(pids) == {pid}
            assert await aask("SHOW application_name") == "tenant"
            assert django_loom.pool().statistics().pinned == 1
        await aeventually(lambda: in_use() == 0)
        assert django_loom.pool().statistics().pinned == 0
        found = await asyncio.gather(*(aask("SHOW application_name") for _ in range(5)))
        assert "tenant" not in found

    loop_runner(main)


def execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def test_a_lock_is_released_at_the_end_of_its_unit(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        await run_sync(execute, "SELECT pg_advisory_lock(7)")
        await aeventually(lambda: in_use() == 0)
        assert await aask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0

    loop_runner(main)


def test_the_reset_connection_is_used_again(loop_runner: LoopRunner) -> None:
    def change() -> int:
        execute("SET a.b = 'c'")
        return backend_pid()

    async def main() -> None:
        pid = await run_sync(change)
        await aeventually(lambda: in_use() == 0)
        assert await abackend_pid() == pid
        assert await aask("SELECT current_setting('a.b', true)") in (None, "")

    loop_runner(main)


def test_tasks_take_turns_around_a_transaction(loop_runner: LoopRunner) -> None:
    """A statement of a task beside it must not get into another's transaction."""

    async def main() -> None:
        inside, go_on = asyncio.Event(), asyncio.Event()

        async def block() -> None:
            async with django_loom.atomic():
                await aask("SELECT 1")
                inside.set()
                await go_on.wait()

        with unit_of_work():
            await run_sync(execute, "SET a.b = 'c'")
            task = asyncio.create_task(block())
            await inside.wait()
            other = asyncio.create_task(aask("SELECT pg_current_xact_id_if_assigned() IS NULL"))
            go_on.set()
            await task
            assert await other is True
        await aeventually(lambda: in_use() == 0)

    loop_runner(main)


def test_pin_covers_what_no_statement_tells(loop_runner: LoopRunner) -> None:
    hidden = "DO $$ BEGIN PERFORM set_config('a.b', 'hidden', false); END $$"

    async def main() -> None:
        async with django_loom.pin():
            await run_sync(execute, hidden)
            assert await aask("SELECT current_setting('a.b', true)") == "hidden"
        await aeventually(lambda: in_use() == 0)
        assert await aask("SELECT current_setting('a.b', true)") in (None, "")

    loop_runner(main)


def test_autocommit_left_off_is_an_error_that_names_the_line(loop_runner: LoopRunner) -> None:
    def turn_off() -> None:
        transaction.set_autocommit(False)

    async def main() -> None:
        with pytest.raises(AutocommitLeftOff, match="turn_off"):
            await run_sync(turn_off)
        assert in_use() == 0

    loop_runner(main)


def test_a_begin_left_open_is_rolled_back_with_a_warning(
    loop_runner: LoopRunner, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        await run_sync(execute, "BEGIN")
        assert in_use() == 0
        assert await run_sync(transaction.get_autocommit)

    loop_runner(main)
    assert "was open at the end of a unit of work" in caplog.text


def test_a_receiver_that_uses_the_connection_takes_no_second_one(
    loop_runner: LoopRunner,
) -> None:
    """As many resets as the pool has connections would wait for one more for ever."""
    from django.db.backends.signals import connection_created

    def receiver(**kwargs: Any) -> None:
        if kwargs["connection"].alias == "default":
            ask("SELECT 1")

    async def main() -> None:
        number = django_loom.pool().options.max_size
        await asyncio.gather(*(run_sync(execute, "SET a.b = 'c'") for _ in range(2 * number)))
        await aeventually(lambda: in_use() == 0)

    connection_created.connect(receiver)
    try:
        loop_runner(main)
    finally:
        connection_created.disconnect(receiver)
        connections.close_all()
