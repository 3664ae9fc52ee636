"""SQLite: the main behaviours again, over connections that live in worker threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections, transaction
from django.db.backends.signals import connection_created

import django_loom
from django_loom import await_, run_sync
from django_loom.db import registry
from django_loom.exceptions import AutocommitLeftOff
from tests.db.support import aask, ask, database, in_use
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.testapp.models import Author, Marker

pytestmark = pytest.mark.usefixtures("sqlite_tables")
AUTHORS = Author.objects.using("sqlite")
PARTIES = 3


class Undo(Exception):
    pass


@pytest.fixture(autouse=True)
def functions(sqlite_tables: None) -> Iterator[None]:
    """`thread()` says where the driver runs; `meet()` ends when so many run at once."""
    barrier = threading.Barrier(PARTIES)

    def add(connection: Any, **kwargs: Any) -> None:
        if connection.alias == "sqlite":
            connection.connection.create_function("thread", 0, threading.get_ident)
            connection.connection.create_function("meet", 0, lambda: barrier.wait(30))

    registry.close("sqlite")  # new connections get the functions
    connection_created.connect(add)
    yield
    connection_created.disconnect(add)
    connections["sqlite"].close()
    assert in_use("sqlite") == 0


def test_driver_calls_run_in_a_thread_and_orm_code_on_the_loop(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        assert await run_sync(threading.get_ident) == threading.get_ident()
        assert await aask("SELECT thread()", using="sqlite") != threading.get_ident()

    loop_runner(main)


def test_calls_run_at_the_same_time(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        calls = [aask("SELECT meet(), thread()", using="sqlite") for _ in range(PARTIES)]
        assert sorted(await asyncio.gather(*calls)) == list(range(PARTIES))

    loop_runner(main)


def test_every_call_of_a_transaction_uses_its_connection(loop_runner: LoopRunner) -> None:
    def thread() -> int:
        return ask("SELECT thread()", using="sqlite")

    async def main() -> None:
        async with django_loom.atomic("sqlite"):
            threads = await asyncio.gather(
                run_sync(thread),
                asyncio.create_task(run_sync(thread)),
                sync_to_async(thread)(),
                asyncio.to_thread(thread),
                run_sync(lambda: await_(run_sync(thread))),
            )
            assert len(set(threads)) == 1
            assert in_use("sqlite") == 1
        assert in_use("sqlite") == 0

    loop_runner(main)


def test_nested_blocks_are_undone_alone(loop_runner: LoopRunner) -> None:
    def undone() -> None:
        with transaction.atomic("sqlite"):
            AUTHORS.create(name="undone")
            raise Undo

    async def main() -> None:
        async with django_loom.atomic("sqlite"):
            await AUTHORS.acreate(name="kept")
            with pytest.raises(Undo):
                await run_sync(undone)
            await asyncio.gather(*[AUTHORS.acreate(name=f"{n}") for n in range(3)])
        assert await AUTHORS.acount() == 4

    loop_runner(main)


def test_a_transaction_is_undone(loop_runner: LoopRunner) -> None:
    @django_loom.atomic("sqlite")
    async def undone() -> None:
        await AUTHORS.acreate(name="undone")
        raise Undo

    async def main() -> None:
        with pytest.raises(Undo):
            await undone()
        assert await AUTHORS.acount() == 0

    loop_runner(main)


def test_callbacks_run_on_commit(loop_runner: LoopRunner) -> None:
    counts = []

    async def callback() -> None:
        counts.append(await AUTHORS.acount())

    async def main() -> None:
        async with django_loom.atomic("sqlite"):
            await AUTHORS.acreate(name="Ann")
            transaction.on_commit(callback, using="sqlite")
        assert counts == [1]

    loop_runner(main)


def test_no_connection_is_held_while_awaiting_something_else(loop_runner: LoopRunner) -> None:
    async def elsewhere() -> int:
        return in_use("sqlite")

    def sync_code() -> tuple[int, int]:
        AUTHORS.count()
        return in_use("sqlite"), await_(elsewhere())

    async def main() -> None:
        assert await run_sync(sync_code) == (1, 0)

    loop_runner(main)


def test_iterating_in_slices_and_leaving_half_way(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        markers = Marker.objects.using("sqlite")
        await markers.abulk_create([Marker(owner=n) for n in range(500)])
        rows = markers.order_by("pk").aiterator(chunk_size=50)
        assert [row.owner async for row in rows] == list(range(500))
        lost = django_loom.pool("sqlite").statistics().lost
        rows = markers.aiterator(chunk_size=50)
        await anext(rows)
        await rows.aclose()
        await aeventually(lambda: in_use("sqlite") == 0)
        assert await markers.acount() == 500
        assert django_loom.pool("sqlite").statistics().lost == lost

    loop_runner(main)


def test_a_left_iterator_in_a_transaction_does_not_end_it(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        markers = Marker.objects.using("sqlite")
        async with django_loom.atomic("sqlite"):
            await markers.abulk_create([Marker(owner=n) for n in range(500)])
            rows = markers.aiterator(chunk_size=50)
            await anext(rows)
            await rows.aclose()
            await asyncio.sleep(0)
            assert await markers.acount() == 500
        assert await markers.acount() == 500

    loop_runner(main)


def test_sync_use_in_a_coroutine_is_refused(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        with pytest.raises(SynchronousOnlyOperation, match="run_sync"):
            connections["sqlite"].cursor()
        with pytest.raises(SynchronousOnlyOperation, match="starts with an 'a'"):
            AUTHORS.count()

    loop_runner(main)


def test_autocommit_left_off_is_rolled_back(loop_runner: LoopRunner) -> None:
    def leave_open() -> None:
        transaction.set_autocommit(False, using="sqlite")
        AUTHORS.create(name="never committed")

    async def main() -> None:
        with pytest.raises(AutocommitLeftOff, match="leave_open"):
            await run_sync(leave_open)
        assert await AUTHORS.acount() == 0
        assert await run_sync(transaction.get_autocommit, "sqlite") is True

    loop_runner(main)


def test_autocommit_left_off_is_on_again_for_the_next_unit(loop_runner: LoopRunner) -> None:
    def leave_off() -> None:
        transaction.set_autocommit(False, using="sqlite")
        Author.objects.using("sqlite").create(name="Ann")

    async def main() -> None:
        with pytest.raises(AutocommitLeftOff):
            await run_sync(leave_off)
        await Author.objects.using("sqlite").acreate(name="Bob")
        await aeventually(lambda: in_use("sqlite") == 0)
        assert [author.name async for author in Author.objects.using("sqlite")] == ["Bob"]

    loop_runner(main)
    assert [author.name for author in Author.objects.using("sqlite")] == ["Bob"]
    connections["sqlite"].close()


def test_outside_a_loop_the_driver_runs_in_the_callers_thread() -> None:
    connection = connections["sqlite"]
    with connection.cursor() as cursor:
        assert cursor.execute("SELECT thread()").fetchone() == (threading.get_ident(),)
    assert in_use("sqlite") == 0
    connection.close()


def test_a_cursor_can_be_chained_and_iterated_as_the_drivers_own(loop_runner: LoopRunner) -> None:
    def sync_code() -> tuple[Any, list[Any]]:
        with connections["sqlite"].cursor() as cursor:
            one = cursor.execute("SELECT 1").fetchone()
            cursor.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                           "LIMIT 250) SELECT i FROM n")  # fmt: skip
            return one, [row[0] for row in cursor]

    async def main() -> None:
        assert await run_sync(sync_code) == ((1,), list(range(1, 251)))

    loop_runner(main)


@pytest.fixture
def memory() -> Iterator[None]:
    with database("memory", ENGINE="django_loom.db.sqlite3", NAME=":memory:"):
        yield


def make_table() -> None:
    with connections["memory"].schema_editor() as editor:
        editor.create_model(Author)


@pytest.mark.usefixtures("memory")
def test_a_database_in_memory_lives_as_long_as_its_pool(loop_runner: LoopRunner) -> None:
    authors = Author.objects.using("memory")

    async def first() -> None:
        await run_sync(make_table)
        await asyncio.gather(*[authors.acreate(name=f"{n}") for n in range(10)])

    async def second() -> None:
        rows = authors.aiterator(chunk_size=2)
        await anext(rows)
        await rows.aclose()
        await aeventually(lambda: in_use("memory") == 0)
        await run_sync(connections.close_all)
        assert await authors.acount() == 10
        assert django_loom.pool("memory").statistics().created == 1

    loop_runner(first)
    loop_runner(second)


def test_threads_and_a_loop_share_the_test_runners_database_in_memory(
    loop_runner: LoopRunner,
) -> None:
    """As in a TransactionTestCase, where nobody closes the connection of its thread."""
    name = "file:of_the_test_runner?mode=memory&cache=shared"
    options = {"pool": {"timeout": 0.1}}
    with database("memory", ENGINE="django_loom.db.sqlite3", NAME=name, OPTIONS=options):
        make_table()
        authors = Author.objects.using("memory")
        authors.create(name="of the thread")

        async def main() -> None:
            await authors.acreate(name="of the loop")
            assert await asyncio.gather(authors.acount(), authors.acount()) == [2, 2]

        loop_runner(main)
        assert authors.count() == 2


@pytest.mark.usefixtures("memory")
def test_a_database_in_memory_survives_a_cancelled_transaction(loop_runner: LoopRunner) -> None:
    authors = Author.objects.using("memory")

    async def main() -> None:
        await run_sync(make_table)
        await authors.acreate(name="kept")
        written = asyncio.Event()

        async def cancelled() -> None:
            async with django_loom.atomic("memory"):
                await authors.acreate(name="undone")
                written.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(cancelled())
        await written.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [author.name async for author in authors.all()] == ["kept"]

    loop_runner(main)


def test_who_waits_to_write_keeps_the_connection_to_write_on(loop_runner: LoopRunner) -> None:
    """Else the one writer would wait for a connection, and those who have it for the writer."""

    def write_in_block(waits: asyncio.Event, has_turn: asyncio.Event) -> None:
        with transaction.atomic("sqlite"):
            AUTHORS.create(name="Ann")
            has_turn.set()
            await_(waits.wait())

    def write(waits: asyncio.Event, has_turn: asyncio.Event) -> None:
        await_(has_turn.wait())
        with connections["sqlite"].cursor() as cursor:
            cursor.execute("SELECT 1")
            before = connections["sqlite"].lease_here()
            waits.set()
            cursor.execute("INSERT INTO testapp_author (name) VALUES ('Ben')")
            assert connections["sqlite"].lease_here() is before

    async def main() -> None:
        events = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(run_sync(write_in_block, *events))
            group.create_task(run_sync(write, *events))
        await aeventually(lambda: in_use("sqlite") == 0)

    loop_runner(main)
