"""Raw cursors and connection objects: which connection a statement runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from types import coroutine
from typing import Any

import pytest
from django.db import (
    DatabaseError,
    OperationalError,
    connection,
    connections,
    transaction,
)

import django_loom
from django_loom import await_, run_sync
from django_loom.exceptions import AutocommitLeftOff
from tests.db.support import abackend_pid, ask, backend_pid, in_use
from tests.loops import LoopRunner
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables")
PID = "SELECT pg_backend_pid()"


def pid_of(cursor: Any) -> int:
    cursor.execute(PID)
    return cursor.fetchone()[0]


def test_a_cursor_keeps_its_connection_between_statements(loop_runner: LoopRunner) -> None:
    def sync_code() -> None:
        with connection.cursor() as cursor:
            assert pid_of(cursor) == pid_of(cursor) == backend_pid()

    async def main() -> None:
        await run_sync(sync_code)

    loop_runner(main)


def test_a_cursor_used_after_an_await_moves_to_the_next_connection(
    loop_runner: LoopRunner,
) -> None:
    """Another task has a transaction open on the first one by then: it must not be touched."""

    async def main() -> None:
        pids: list[int] = []
        in_transaction = asyncio.Event()
        first_is_over, moved = asyncio.Event(), asyncio.Event()

        async def given_back() -> None:
            first_is_over.set()
            await in_transaction.wait()

        async def take_it() -> None:
            async with django_loom.atomic():
                pids.append(await abackend_pid())
                await Author.objects.acreate(name="in the transaction")
                in_transaction.set()
                await moved.wait()

        def sync_code() -> None:
            with connection.cursor() as cursor:
                first = pid_of(cursor)
                await_(given_back())
                assert pids == [first]
                assert pid_of(cursor) != first
                cursor.execute("SELECT count(*) FROM testapp_author")
                assert cursor.fetchone() == (0,)

        task = asyncio.create_task(run_sync(sync_code))
        await first_is_over.wait()
        other = asyncio.create_task(take_it())
        await task
        moved.set()
        await other

    loop_runner(main)


def test_rows_that_were_fetched_stay_readable_after_an_await(loop_runner: LoopRunner) -> None:
    def sync_code() -> list[int]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT generate_series(1, 3)")
            rows = [cursor.fetchone()[0]]
            await_(asyncio.sleep(0))
            return rows + [row[0] for row in cursor.fetchall()]

    async def main() -> None:
        assert await run_sync(sync_code) == [1, 2, 3]

    loop_runner(main)


def test_a_cursor_that_outlives_its_call_is_refused(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        cursor = await run_sync(lambda: connection.cursor())
        await abackend_pid()
        with pytest.raises(DatabaseError, match="Make a new cursor"):
            await run_sync(cursor.execute, PID)
        assert in_use() == 0

    loop_runner(main)


def test_a_cursor_that_outlives_its_call_is_refused_by_the_next_owner_too(
    loop_runner: LoopRunner,
) -> None:
    kept: list[Any] = []

    def keep() -> None:
        kept.append(connection.cursor())

    def use() -> None:
        Author.objects.count()
        kept[0].execute(PID)

    async def main() -> None:
        await run_sync(keep)
        with pytest.raises(DatabaseError, match="a run_sync"):
            await run_sync(use)

    loop_runner(main)


def test_a_connection_object_kept_from_another_call_is_refused(loop_runner: LoopRunner) -> None:
    kept: list[Any] = []

    def keep() -> None:
        kept.append(connections["default"])
        backend_pid()

    def use() -> None:
        with kept[0].cursor() as cursor:
            cursor.execute(PID)

    async def main() -> None:
        await run_sync(keep)
        with pytest.raises(DatabaseError, match=r"Take it from django\.db\.connections"):
            await run_sync(use)
        assert in_use() == 0

    loop_runner(main)


def test_a_connection_object_kept_while_its_call_runs_is_refused_elsewhere(
    loop_runner: LoopRunner,
) -> None:
    kept: list[Any] = []

    async def main() -> None:
        is_kept, used = asyncio.Event(), asyncio.Event()

        def keep() -> int:
            kept.append(connections["default"])
            pid = backend_pid()
            is_kept.set()
            await_(used.wait())
            return pid

        def use() -> None:
            with kept[0].cursor() as cursor:
                cursor.execute(PID)

        task = asyncio.create_task(run_sync(keep))
        await is_kept.wait()
        with pytest.raises(DatabaseError, match="belongs to another unit"):
            await run_sync(use)
        with pytest.raises(DatabaseError, match="belongs to another unit"):
            await asyncio.to_thread(use)
        used.set()
        assert await task

    loop_runner(main)


@pytest.mark.parametrize("name", ["cursor", "ensure_connection", "connect"])
def test_the_threads_own_connection_object_is_refused_in_a_call(
    loop_runner: LoopRunner, name: str
) -> None:
    """A bound method that was looked up in a coroutine is the thread's; its lease would stay."""

    async def main() -> None:
        with pytest.raises(DatabaseError, match="belongs to another unit"):
            await run_sync(getattr(connection, name))
        assert in_use() == 0

    loop_runner(main)


def test_the_connection_object_of_a_transaction_serves_its_tasks(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        async with django_loom.atomic():
            kept = await run_sync(lambda: connections["default"])

            def use() -> int:
                with kept.cursor() as cursor:
                    return pid_of(cursor)

            pids = await asyncio.gather(run_sync(use), asyncio.to_thread(use), abackend_pid())
            assert len(set(pids)) == 1

    loop_runner(main)


def test_executemany_and_procedures_wait_on_the_loop(loop_runner: LoopRunner) -> None:
    def sync_code() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO testapp_author (name) VALUES (%s)", [["Ann"], ["Bea"], ["Cid"]]
            )
            cursor.callproc("upper", ["written in capitals"])
            assert cursor.fetchone() == ("WRITTEN IN CAPITALS",)

    async def main() -> None:
        await run_sync(sync_code)
        assert await Author.objects.acount() == 3

    loop_runner(main)


def test_copy_and_other_calls_of_the_driver_wait_on_the_loop(loop_runner: LoopRunner) -> None:
    def sync_code() -> list[Any]:
        with connection.cursor() as cursor:
            with cursor.copy("COPY testapp_author (name) FROM STDIN") as copy:
                for number in range(1000):
                    copy.write_row([f"{number}"])
            with cursor.copy("COPY (SELECT name FROM testapp_author) TO STDOUT") as copy:
                return list(copy.rows())

    async def main() -> None:
        assert len(await run_sync(sync_code)) == 1000

    loop_runner(main)


def test_closing_the_connection_in_a_call_gives_it_back(loop_runner: LoopRunner) -> None:
    def sync_code() -> tuple[int, int, int]:
        backend_pid()
        used = [in_use()]
        connections.close_all()
        used.append(in_use())
        backend_pid()
        used.append(in_use())
        return tuple(used)

    async def main() -> None:
        assert await run_sync(sync_code) == (1, 0, 1)
        assert in_use() == 0

    loop_runner(main)


def test_close_all_does_not_touch_the_connections_of_other_tasks(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        async with django_loom.atomic():
            await Author.objects.acreate(name="Ann")
            closed = asyncio.create_task(run_sync(connections.close_all), context=outside)
            await closed
            assert await Author.objects.acount() == 1
        assert await Author.objects.acount() == 1

    import contextvars

    outside = contextvars.copy_context()
    loop_runner(main)


def test_a_call_has_the_connections_that_it_has_used_and_no_others(
    loop_runner: LoopRunner,
) -> None:
    def used() -> list[str]:
        return [each.alias for each in connections.all(initialized_only=True)]

    def sync_code() -> list[list[str]]:
        before = used()
        backend_pid()
        return [before, used(), [each.alias for each in connections.all()]]

    async def main() -> list[list[str]]:
        return await run_sync(sync_code)

    assert loop_runner(main) == [[], ["default"], list(connections)]


def test_a_call_in_a_transaction_has_its_connection(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        async with django_loom.atomic():
            await Author.objects.acreate(name="Ann")
            (found,) = await run_sync(connections.all, initialized_only=True)
            assert found.in_atomic_block
            assert await Author.objects.acount() == 1

    loop_runner(main)


def test_close_all_in_a_thread_closes_that_threads_connection(loop_runner: LoopRunner) -> None:
    def in_thread() -> tuple[int, int]:
        backend_pid()
        used = in_use()
        connections.close_all()
        return used, in_use()

    async def main() -> None:
        assert await asyncio.to_thread(in_thread) == (1, 0)

    loop_runner(main)


def test_closing_in_a_transaction_breaks_it_and_rolls_back(loop_runner: LoopRunner) -> None:
    def sync_code() -> None:
        with transaction.atomic():
            Author.objects.create(name="lost")
            connection.close()
            with pytest.raises(OperationalError, match="the connection is closed"):
                Author.objects.count()

    async def main() -> None:
        await run_sync(sync_code)
        assert await Author.objects.acount() == 0
        assert in_use() == 0

    loop_runner(main)


def test_autocommit_left_off_is_rolled_back_and_the_connection_not_reused(
    loop_runner: LoopRunner,
) -> None:
    def leave_open() -> int:
        transaction.set_autocommit(False)
        Author.objects.create(name="never committed")
        return backend_pid()

    async def main() -> None:
        pids: list[int] = []
        with pytest.raises(AutocommitLeftOff, match=r"in .*leave_open"):
            await run_sync(lambda: pids.append(leave_open()))
        assert in_use() == 0
        assert await Author.objects.acount() == 0
        assert await run_sync(transaction.get_autocommit) is True
        assert pids[0] not in await asyncio.gather(*[abackend_pid() for _ in range(5)])

    loop_runner(main)


def test_autocommit_left_off_after_a_commit_is_not_found_by_the_next_caller(
    loop_runner: LoopRunner,
) -> None:
    def leave_off() -> int:
        transaction.set_autocommit(False)
        Author.objects.create(name="committed")
        transaction.commit()
        return connection.connection.info.backend_pid

    async def main() -> None:
        pids: list[int] = []
        with pytest.raises(AutocommitLeftOff):
            await run_sync(lambda: pids.append(leave_off()))
        assert in_use() == 0
        assert await abackend_pid() not in pids
        await Author.objects.acreate(name="committed by itself")
        assert await run_sync(transaction.get_autocommit) is True
        assert await Author.objects.acount() == 2

    loop_runner(main)


def test_autocommit_off_keeps_the_connection_until_it_is_on_again(
    loop_runner: LoopRunner,
) -> None:
    async def elsewhere() -> int:
        return in_use()

    def sync_code() -> None:
        transaction.set_autocommit(False)
        Author.objects.create(name="Ann")
        pid = backend_pid()
        assert await_(elsewhere()) == 1
        assert backend_pid() == pid
        transaction.commit()
        transaction.set_autocommit(True)
        assert await_(elsewhere()) == 0

    async def main() -> None:
        await run_sync(sync_code)
        assert await Author.objects.acount() == 1

    loop_runner(main)


def test_a_transaction_begun_by_hand_in_sql_is_rolled_back(loop_runner: LoopRunner) -> None:
    def begin() -> int:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("INSERT INTO testapp_author (name) VALUES ('never committed')")
            return pid_of(cursor)

    async def main() -> None:
        pid = await run_sync(begin)
        assert await Author.objects.acount() == 0
        assert await abackend_pid() != pid

    loop_runner(main)


def test_settings_of_a_session_are_the_callers_own_risk_but_atomic_limits_them(
    loop_runner: LoopRunner,
) -> None:
    """SET LOCAL ends with the transaction: the next user of the connection does not see it."""

    def sync_code() -> int:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL work_mem = '777kB'")
            return pid_of(cursor)

    async def main() -> None:
        pid = await run_sync(sync_code)
        assert await run_sync(lambda: (backend_pid(), ask("SHOW work_mem"))) != (pid, "777kB")

    loop_runner(main)


def test_the_connection_object_of_a_transaction_is_refused_outside_it(
    loop_runner: LoopRunner,
) -> None:
    """Otherwise code that kept it would take part in somebody else's transaction."""

    async def main() -> None:
        begun, used = asyncio.Event(), asyncio.Event()
        kept: list[Any] = []

        async def in_transaction() -> None:
            async with django_loom.atomic():
                await Author.objects.acreate(name="Ann")
                kept.append(await run_sync(lambda: connections["default"]))
                begun.set()
                await used.wait()

        def use() -> None:
            with kept[0].cursor() as cursor:
                cursor.execute(PID)

        @transaction.atomic
        def use_in_own_transaction() -> None:
            use()

        task = asyncio.create_task(in_transaction())
        await begun.wait()
        for function in (use, use_in_own_transaction):
            with pytest.raises(DatabaseError, match="belongs to another unit"):
                await run_sync(function)
        with pytest.raises(DatabaseError, match="belongs to another unit"):
            await asyncio.to_thread(use)
        used.set()
        await task
        assert in_use() == 0

    loop_runner(main)


# Where the call's coroutine is closed, as when its task is collected, nothing can wait.


@coroutine
def closed_at(suspended: list[str], call: Any) -> Generator[Any, Any, None]:
    """Await a call until it says that it waits; then close it."""
    steps = call.__await__()
    while True:
        waits_for = next(steps)
        if suspended:
            steps.close()
            return
        yield waits_for


def test_a_server_side_cursor_is_closed_with_the_coroutine_of_its_call(
    loop_runner: LoopRunner,
) -> None:
    log: list[str] = []

    def read_half() -> None:
        cursor = connection.chunked_cursor()
        cursor.execute("SELECT generate_series(1, 10000)")
        cursor.fetchmany(2)
        try:
            log.append("waits")
            await_(asyncio.Event().wait())
        finally:
            cursor.close()
            log.append("closed")

    async def main() -> None:
        await closed_at(log, run_sync(read_half))
        assert (log, in_use()) == (["waits", "closed"], 0)
        assert await run_sync(ask, "SELECT count(*) FROM pg_cursors WHERE is_holdable") == 0

    loop_runner(main)


def test_close_beside_a_block_with_the_coroutine_of_its_call_leaves_the_block_alone(
    loop_runner: LoopRunner,
) -> None:
    log: list[str] = []

    def close() -> None:
        try:
            log.append("waits")
            await_(asyncio.Event().wait())
        finally:
            connection.close()
            log.append("closed")

    async def main() -> None:
        entered, may_leave = asyncio.Event(), asyncio.Event()

        async def block() -> None:
            async with django_loom.atomic():
                await Author.objects.acreate(name="Ann")
                entered.set()
                await may_leave.wait()

        async with django_loom.pin():
            task = asyncio.create_task(block())
            await entered.wait()
            await closed_at(log, run_sync(close))
            assert log == ["waits", "closed"]
            may_leave.set()
            await task
            assert await Author.objects.acount() == 1

    loop_runner(main)
