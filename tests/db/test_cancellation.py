"""A cancelled call stops at once, and leaves nothing of itself in the server or in the pool."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.db.models import Func, TextField, Value
from psycopg.pq import TransactionStatus

import django_loom
from django_loom.db.postgresql import cancelling
from tests.db.faults import SLOW, Admin, assert_pool_is_whole
from tests.db.support import aask, abackend_pid, ask, in_use, let_others_run
from tests.loops import LoopRunner, new_loop
from tests.polling import aeventually, eventually
from tests.services import Postgres
from tests.testapp.models import Marker

SOON = 0.05


@pytest.fixture
def admin(postgres: Postgres, db_tables: None) -> Admin:
    return Admin(postgres)


def sleep() -> Func:
    return Func(Value(600), function="pg_sleep", output_field=TextField())


async def assert_quiet(admin: Admin) -> None:
    """Nothing runs in the server, no transaction is open there, and the pool is whole."""
    await aeventually(lambda: not admin.running())
    await aeventually(lambda: not admin.in_transaction())
    assert_pool_is_whole("default")
    for slot in django_loom.pool()._state.idle:
        assert slot.connection.pgconn.transaction_status == TransactionStatus.IDLE


async def cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


# Ways to be in the middle of a query.


async def in_queryset() -> None:
    await Marker.objects.acreate(owner=1)
    await Marker.objects.values_list(sleep()).aget()


async def in_sync_code() -> None:
    await aask(SLOW)


async def in_sync_transaction() -> None:
    def block() -> None:
        with transaction.atomic():
            Marker.objects.create(owner=2)
            ask(SLOW)

    await django_loom.run_sync(block)


async def in_async_transaction() -> None:
    async with django_loom.atomic():
        await Marker.objects.acreate(owner=2)
        async with django_loom.atomic():
            await aask(SLOW)


async def in_first_statement() -> None:
    async with django_loom.atomic():
        await aask(SLOW)


async def in_iteration() -> None:
    await Marker.objects.acreate(owner=1)
    async for _ in Marker.objects.annotate(nap=sleep()).aiterator():
        pass


async def in_commit_callback() -> None:
    async with django_loom.atomic():
        transaction.on_commit(lambda: ask(SLOW))


QUERIES = [
    in_queryset,
    in_sync_code,
    in_sync_transaction,
    in_async_transaction,
    in_first_statement,
    in_iteration,
    in_commit_callback,
]
Query = Callable[[], Awaitable[None]]
each_query = pytest.mark.parametrize("query", QUERIES, ids=lambda f: f.__name__)


@each_query
def test_the_query_ends_in_the_server(loop_runner: LoopRunner, admin: Admin, query: Query) -> None:
    async def main() -> None:
        pid = await abackend_pid()
        created = django_loom.pool().statistics().created
        task = asyncio.create_task(query())
        await aeventually(lambda: admin.running() == [pid])
        await cancel(task)
        assert admin.running() == []
        assert in_use() == 0
        assert await abackend_pid() == pid, "the connection is as good as before"
        assert django_loom.pool().statistics().created == created
        assert not await Marker.objects.filter(owner=2).aexists()
        await assert_quiet(admin)

    loop_runner(main)


@each_query
def test_a_timeout_is_a_timeout_error(loop_runner: LoopRunner, admin: Admin, query: Query) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SOON):
                await query()
        await assert_quiet(admin)

    loop_runner(main)


@each_query
def test_a_task_cancelled_again_and_again(
    loop_runner: LoopRunner, admin: Admin, query: Query
) -> None:
    """As AnyIO's cancel scopes do, in each turn of the loop."""

    async def main() -> None:
        task = asyncio.create_task(query())
        await aeventually(admin.running)
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)
        assert task.cancelled()
        await assert_quiet(admin)

    loop_runner(main)


def test_a_query_whose_cancellation_comes_before_the_server_has_begun_it(
    loop_runner: LoopRunner, admin: Admin
) -> None:
    async def main() -> None:
        await abackend_pid()
        for _ in range(20):
            task = asyncio.create_task(in_first_statement())
            while in_use() == 0:
                await let_others_run(1)
            await cancel(task)
            assert admin.running() == []
        await assert_quiet(admin)

    loop_runner(main)


def test_who_waits_for_a_connection_leaves_the_queue(loop_runner: LoopRunner, admin: Admin) -> None:
    async def main() -> None:
        size = django_loom.pool().options.max_size
        holders = [asyncio.create_task(in_sync_code()) for _ in range(size)]
        await aeventually(lambda: len(admin.running()) == size)
        waiting = [asyncio.create_task(aask("SELECT 7")) for _ in range(3)]
        await let_others_run()
        assert django_loom.pool().statistics().pending_requests == 3
        await cancel(waiting[1])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await aask("SELECT 7")
        assert django_loom.pool().statistics().pending_requests == 2
        for holder in holders:
            holder.cancel()
        assert await asyncio.gather(waiting[0], waiting[2]) == [7, 7]
        await asyncio.wait(holders)
        await assert_quiet(admin)

    loop_runner(main)


def test_a_failing_task_takes_its_group_with_it(loop_runner: LoopRunner, admin: Admin) -> None:
    async def fail() -> None:
        await aeventually(lambda: len(admin.running()) == 3)
        raise KeyError

    async def together(*queries: Query) -> None:
        async with asyncio.TaskGroup() as group:
            for query in queries:
                group.create_task(query())

    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            await together(in_sync_code, in_sync_transaction, in_async_transaction, fail)
        assert [type(error) for error in caught.value.exceptions] == [KeyError]
        await assert_quiet(admin)

    loop_runner(main)


# Code that catches the cancellation.


@pytest.mark.parametrize("side", ["sync", "async"])
def test_a_swallowed_cancellation_rolls_the_block_back(
    loop_runner: LoopRunner, admin: Admin, side: str
) -> None:
    def sync_block() -> None:
        with transaction.atomic():
            Marker.objects.create(owner=1)
            with suppress(asyncio.CancelledError):
                ask(SLOW)
            with pytest.raises(transaction.TransactionManagementError):
                Marker.objects.create(owner=2)

    async def async_block() -> None:
        async with django_loom.atomic():
            await Marker.objects.acreate(owner=1)
            with suppress(asyncio.CancelledError):
                await aask(SLOW)
            with pytest.raises(transaction.TransactionManagementError):
                await Marker.objects.acreate(owner=2)

    async def main() -> None:
        block = django_loom.run_sync(sync_block) if side == "sync" else async_block()
        task = asyncio.create_task(block)
        await aeventually(admin.running)
        task.cancel()
        await task
        assert await Marker.objects.acount() == 0
        await assert_quiet(admin)

    loop_runner(main)


def test_a_cancellation_swallowed_in_a_savepoint_spares_the_block_around_it(
    loop_runner: LoopRunner, admin: Admin
) -> None:
    async def block() -> None:
        async with django_loom.atomic():
            await Marker.objects.acreate(owner=1)
            with suppress(asyncio.CancelledError):
                async with django_loom.atomic():
                    await Marker.objects.acreate(owner=2)
                    await aask(SLOW)
            await Marker.objects.acreate(owner=3)

    async def main() -> None:
        task = asyncio.create_task(block())
        await aeventually(admin.running)
        task.cancel()
        await task
        owners = [row.owner async for row in Marker.objects.order_by("owner")]
        assert owners == [1, 3]
        await assert_quiet(admin)

    loop_runner(main)


def test_code_that_swallows_the_cancellation_can_go_on(
    loop_runner: LoopRunner, admin: Admin
) -> None:
    def view() -> int:
        with suppress(asyncio.CancelledError):
            ask(SLOW)
        return ask("SELECT 7")

    async def main() -> None:
        task = asyncio.create_task(django_loom.run_sync(view))
        await aeventually(admin.running)
        task.cancel()
        assert await task == 7
        await assert_quiet(admin)

    loop_runner(main)


def test_cleaning_up_after_a_cancellation_may_use_the_database(
    loop_runner: LoopRunner, admin: Admin
) -> None:
    async def view() -> None:
        try:
            await aask(SLOW)
        finally:
            await Marker.objects.acreate(owner=1)

    async def main() -> None:
        task = asyncio.create_task(view())
        await aeventually(admin.running)
        await cancel(task)
        assert await Marker.objects.acount() == 1
        await assert_quiet(admin)

    loop_runner(main)


# Several tasks in one transaction.


def test_a_block_cancelled_while_it_waits_for_its_tasks_to_end_their_statements(
    loop_runner: LoopRunner, admin: Admin
) -> None:
    async def block() -> None:
        async with django_loom.atomic():
            await Marker.objects.acreate(owner=1)
            children.append(asyncio.create_task(aask(SLOW)))
            await aeventually(admin.running)

    async def main() -> None:
        task = asyncio.create_task(block())
        await aeventually(admin.running)
        pids = admin.running()
        await let_others_run(50)  # until the block's end waits for the child's turn
        await cancel(task)
        with pytest.raises(DatabaseError):
            await children[0]
        assert await Marker.objects.acount() == 0
        admin.terminate(*pids)
        await assert_quiet(admin)

    children: list[asyncio.Task[Any]] = []
    loop_runner(main)


def test_a_task_that_outlives_its_cancelled_block_does_not_touch_who_comes_next(
    loop_runner: LoopRunner, admin: Admin
) -> None:
    """Its wrapper serves another task by then, which must not be disturbed."""

    async def block() -> None:
        async with django_loom.atomic():
            await aask("SELECT 1")
            children.append(asyncio.create_task(aask(SLOW)))
            await aeventually(admin.running)

    async def main() -> None:
        task = asyncio.create_task(block())
        await aeventually(admin.running)
        await let_others_run(50)
        children[0].cancel()
        await let_others_run(1)  # it has begun to cancel its query in the server
        await cancel(task)
        others = [asyncio.create_task(aask("SELECT 7 FROM pg_sleep(0.05)")) for _ in range(5)]
        await asyncio.wait([children[0]])
        assert await asyncio.gather(*others) == [7] * 5
        await assert_quiet(admin)

    children: list[asyncio.Task[Any]] = []
    loop_runner(main)


def test_a_statement_whose_block_ended_while_it_waited_for_its_turn_goes_elsewhere(
    loop_runner: LoopRunner, admin: Admin
) -> None:
    """Not run on the connection, which may be in another task's transaction by then."""

    def child() -> None:
        with connection.cursor() as cursor:
            ready.set()
            django_loom.await_(go.wait())
            cursor.execute("INSERT INTO testapp_marker (owner, step) VALUES (5, 5)")

    async def block() -> None:
        async with django_loom.atomic():
            await aask("SELECT 1")
            children.append(asyncio.create_task(django_loom.run_sync(child)))
            await ready.wait()
            turns.append(connection.scopes[-1].mutex)
            await django_loom.run_sync(turns[0].acquire)

    async def main() -> None:
        task = asyncio.create_task(block())
        await ready.wait()
        await let_others_run()  # the block's end waits for its turn, and then the child
        go.set()
        await let_others_run()
        turns[0].release()
        await task
        await children[0]
        assert await Marker.objects.acount() == 1  # in autocommit mode, as after a block
        await assert_quiet(admin)

    children: list[asyncio.Task[None]] = []
    turns: list[Any] = []
    ready, go = asyncio.Event(), asyncio.Event()
    loop_runner(main)


def test_callbacks_left_by_a_cancelled_one_are_nobody_elses(
    loop_runner: LoopRunner, admin: Admin
) -> None:
    called = []

    async def block() -> None:
        async with django_loom.atomic():
            await Marker.objects.acreate(owner=1)
            transaction.on_commit(lambda: ask(SLOW))
            transaction.on_commit(lambda: called.append("second"))

    async def main() -> None:
        task = asyncio.create_task(block())
        await aeventually(admin.running)
        await cancel(task)
        assert await Marker.objects.acount() == 1, "the commit came before the callbacks"
        async with django_loom.atomic():
            await Marker.objects.acreate(owner=2)
        assert called == []
        await assert_quiet(admin)

    loop_runner(main)


# The end of a loop.


@each_query
def test_queries_that_run_when_the_loop_ends(
    loop_runner: LoopRunner, admin: Admin, query: Query
) -> None:
    async def main() -> None:
        tasks.append(asyncio.create_task(query()))
        await aeventually(admin.running)

    tasks: list[asyncio.Task[None]] = []
    loop_runner(main)
    assert tasks[0].cancelled()
    assert in_use() == 0
    eventually(lambda: not admin.running())
    eventually(lambda: not admin.in_transaction())


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
@each_query
def test_a_task_that_is_collected_after_its_loop(kind: str, admin: Admin, query: Query) -> None:
    reports: list[Any] = []
    loop = new_loop(kind)
    loop.set_exception_handler(lambda loop, context: reports.append(context["message"]))
    task = loop.create_task(query())
    loop.run_until_complete(aeventually(admin.running))
    loop.close()
    del task, loop
    gc.collect()
    assert reports == ["Task was destroyed but it is pending!"]
    eventually(lambda: not admin.running())
    eventually(lambda: in_use() == 0)
    assert admin.in_transaction() == []
    assert_pool_is_whole("default")


# SQLite.

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def insert_in_sqlite() -> None:
    with connections["sqlite"].cursor() as cursor:
        cursor.execute("INSERT INTO testapp_marker (owner, step) VALUES (1, 1)")


def in_sqlite() -> None:
    insert_in_sqlite()
    ask(ENDLESS, using="sqlite")


def in_transaction_of_sqlite() -> None:
    with transaction.atomic("sqlite"):
        in_sqlite()


@pytest.mark.parametrize("call", [in_sqlite, in_transaction_of_sqlite], ids=lambda f: f.__name__)
def test_sqlite_is_interrupted(
    loop_runner: LoopRunner, sqlite_tables: None, call: Callable[[], None]
) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SOON):
                await django_loom.run_sync(call)
        assert in_use("sqlite") == 0
        rows = await Marker.objects.using("sqlite").acount()
        assert rows == (1 if call is in_sqlite else 0)
        assert django_loom.pool("sqlite").statistics().lost == lost

    lost = django_loom.pool("sqlite").statistics().lost
    loop_runner(main)


def test_an_endless_query_of_sqlite_ends_with_its_loop(
    loop_runner: LoopRunner, sqlite_tables: None
) -> None:
    async def main() -> None:
        tasks.append(asyncio.create_task(django_loom.run_sync(in_sqlite)))
        await aeventually(lambda: in_use("sqlite") == 1)

    tasks: list[asyncio.Task[None]] = []
    loop_runner(main)
    assert tasks[0].cancelled()
    assert in_use("sqlite") == 0


def test_a_query_is_cancelled_more_than_once_where_nobody_can_wait_for_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server drops a request that comes before it has begun the query."""
    monkeypatch.setattr(cancelling, "PATIENCES_IN_THREAD", (0, 0, 0))
    requests: list[None] = []

    class Request:
        def start(self) -> None:
            requests.append(None)
            raise psycopg.OperationalError("no server there")

        def reset(self) -> None:
            pass

    class Connection:
        transaction_status = TransactionStatus.ACTIVE
        cancel_conn = Request

    cancelling.cancel_in_thread(Connection())  # type: ignore[arg-type]
    eventually(lambda: len(requests) == 3)
