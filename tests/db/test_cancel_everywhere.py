"""Each operation, cancelled at each of its suspensions, leaves everything whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, suppress
from functools import partial
from operator import attrgetter
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import OperationalError, connections, transaction
from django.db.models import Count
from psycopg.pq import TransactionStatus

import django_loom
from django_loom.db import registry
from django_loom.db.pool_errors import describe
from django_loom.db.postgresql import waiting
from django_loom.testing import cancel_before, cancel_with_result, cancelled_at
from django_loom.testing.stepping import Cancel
from tests.db.support import aask
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.services import Postgres
from tests.testapp.models import Marker

OWNER = 7


class Undo(Exception):
    pass


class Transactions:
    """Numbers transactions, each of which writes its number into a known number of rows."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.expected: dict[int, int] = {}
        self.never: set[int] = set()

    def begin(self, rows: int, *, never: bool = False) -> int:
        number = len(self.expected) + 1
        self.expected[number] = rows
        if never:
            self.never.add(number)
        return number

    @property
    def markers(self) -> Any:
        return Marker.objects.using(self.alias)

    def row(self, number: int) -> Marker:
        return Marker(owner=OWNER, step=number)

    def save(self, number: int, rows: int = 1) -> None:
        for _ in range(rows):
            self.row(number).save(using=self.alias)

    async def asave(self, number: int) -> None:
        await self.row(number).asave(using=self.alias)

    async def compare(self) -> None:
        found = self.markers.values_list("step").annotate(Count("pk"))
        async for number, rows in found:
            assert rows == self.expected[number], "a transaction is there in part"
            assert number not in self.never, "a rolled back transaction is there"


# Operations. What one returns tells that its transaction must be there.


async def read(t: Transactions) -> None:
    assert [row.owner async for row in t.markers.filter(owner=OWNER)] == [OWNER] * 30
    assert await t.markers.filter(step=0).acount() == 30


async def connect_and_read(t: Transactions) -> None:
    registry.close(t.alias)
    await t.markers.afirst()


async def write(t: Transactions) -> int:
    number = t.begin(1)
    await t.asave(number)
    return number


async def bulk(t: Transactions) -> int:
    number = t.begin(4)
    await t.markers.abulk_create([t.row(number) for _ in range(4)], batch_size=2)
    return number


async def executemany(t: Transactions) -> int:
    number = t.begin(3)

    def block() -> None:
        with connections[t.alias].cursor() as cursor:
            insert = "INSERT INTO testapp_marker (owner, step) VALUES (%s, %s)"
            with transaction.atomic(t.alias):
                cursor.executemany(insert, [(OWNER, number)] * 3)

    await django_loom.run_sync(block)
    return number


async def sync_block(t: Transactions) -> int:
    number, undone = t.begin(3), t.begin(1, never=True)

    def block() -> None:
        with transaction.atomic(t.alias):
            t.save(number)
            with transaction.atomic(t.alias):
                t.save(number)
            with suppress(Undo), transaction.atomic(t.alias):
                t.save(undone)
                raise Undo
            t.save(number)

    await django_loom.run_sync(block)
    return number


async def async_block(t: Transactions) -> int:
    number, undone = t.begin(3), t.begin(1, never=True)
    async with django_loom.atomic(t.alias):
        await t.asave(number)
        async with django_loom.atomic(t.alias):
            await t.asave(number)
        with suppress(Undo):
            async with django_loom.atomic(t.alias):
                await t.asave(undone)
                raise Undo
        await t.asave(number)
    return number


async def mixed_blocks(t: Transactions) -> int:
    number = t.begin(3)

    def block() -> None:
        with transaction.atomic(t.alias):
            t.save(number)
            django_loom.await_(inner())

    async def inner() -> None:
        async with django_loom.atomic(t.alias):
            await t.asave(number)

    async with django_loom.atomic(t.alias):
        await t.asave(number)
        await django_loom.run_sync(block)
    return number


async def rolled_back(t: Transactions) -> None:
    number = t.begin(2, never=True)
    with suppress(Undo):
        async with django_loom.atomic(t.alias):
            await django_loom.run_sync(t.save, number, 2)
            raise Undo


async def on_commit(t: Transactions) -> int:
    number, after = t.begin(1), t.begin(1)

    async def callback() -> None:
        await t.asave(after)

    async with django_loom.atomic(t.alias):
        await t.asave(number)
        transaction.on_commit(callback, using=t.alias)
        transaction.on_commit(lambda: t.markers.first(), using=t.alias)
    return number


async def awaits_between(t: Transactions) -> int:
    number = t.begin(2)

    def block() -> None:
        t.markers.first()
        django_loom.await_(asyncio.sleep(0))
        with transaction.atomic(t.alias):
            t.save(number)
            django_loom.await_(asyncio.sleep(0))
            t.save(number)
        django_loom.await_(asyncio.sleep(0))
        t.markers.first()

    await django_loom.run_sync(block)
    return number


async def iterate(t: Transactions) -> None:
    owners = [row.owner async for row in t.markers.filter(step=0).aiterator(chunk_size=10)]
    assert owners == [OWNER] * 30


async def break_off(t: Transactions) -> None:
    rows: AsyncIterator[Marker] = t.markers.filter(step=0).aiterator(chunk_size=10)
    async with aclosing(rows):  # type: ignore[type-var]
        async for row in rows:
            assert row.owner == OWNER
            break


async def iterate_in_block(t: Transactions) -> int:
    number = t.begin(2)
    async with django_loom.atomic(t.alias):
        await t.asave(number)
        await iterate(t)
        await break_off(t)
        await t.asave(number)
    return number


async def swallow(t: Transactions) -> int | None:
    """Code that catches the cancellation in its block, and lets the block end as usual."""
    number, caught = t.begin(2), None
    async with django_loom.atomic(t.alias):
        await t.asave(number)
        try:
            await t.asave(number)
        except asyncio.CancelledError as error:
            caught = error
    if caught:
        raise caught
    return number


async def swallow_and_go_on(t: Transactions) -> int:
    number, caught = t.begin(2), None

    def block() -> None:
        nonlocal caught
        with transaction.atomic(t.alias):
            try:
                t.save(number)
            except asyncio.CancelledError as error:
                caught = error
            try:
                t.save(number)
            except (transaction.TransactionManagementError, OperationalError):
                assert caught is not None

    await django_loom.run_sync(block)
    if caught:
        raise caught
    return number


async def swallow_outside(t: Transactions) -> int:
    """A query after one that was cut short, in the same call, gets a connection that works."""
    number, caught = t.begin(1), None

    def block() -> None:
        nonlocal caught
        try:
            t.markers.count()
        except asyncio.CancelledError as error:
            caught = error
        t.save(number)

    await django_loom.run_sync(block)
    if caught:
        raise caught
    return number


Operation = Callable[[Transactions], Awaitable[Any]]
OPERATIONS: list[Operation] = [
    read,
    connect_and_read,
    write,
    bulk,
    executemany,
    sync_block,
    async_block,
    mixed_blocks,
    rolled_back,
    on_commit,
    awaits_between,
    iterate,
    break_off,
    iterate_in_block,
    swallow,
    swallow_and_go_on,
    swallow_outside,
]

# Which of its suspensions the task is cancelled at, of those that come after number k.
WHEN: dict[str, Callable[[int, int], bool]] = {
    "once": lambda step, k: step == k,
    "twice": lambda step, k: step in (k, k + 1),
    "always": lambda step, k: step >= k,  # as AnyIO's cancel scopes do
}


@pytest.fixture
def server(postgres: Postgres, db_tables: None) -> Iterator[psycopg.Connection]:
    name = settings.DATABASES["default"]["NAME"]
    with psycopg.connect(postgres.dsn, dbname=name, autocommit=True) as connection:
        yield connection


def busy_sessions(server: psycopg.Connection) -> list[Any]:
    return server.execute(
        "SELECT state, query FROM pg_stat_activity WHERE state <> 'idle'"
        " AND datname = current_database() AND pid <> pg_backend_pid()"
    ).fetchall()


async def check(t: Transactions) -> None:
    pool = django_loom.pool(t.alias)
    figures = pool.statistics()
    assert (figures.used, figures.pending_requests) == (0, 0), describe(pool._state)
    assert await aask("SELECT 7", using=t.alias) == 7
    await t.compare()


async def check_postgres(server: psycopg.Connection, t: Transactions) -> None:
    for slot in django_loom.pool(t.alias)._state.idle:
        assert slot.connection.pgconn.transaction_status == TransactionStatus.IDLE
        assert slot.connection.autocommit, "a next user's writes would be lost"
    await aeventually(lambda: not busy_sessions(server))
    await check(t)


async def check_sqlite(t: Transactions) -> None:
    for slot in django_loom.pool(t.alias)._state.idle:
        in_transaction = partial(getattr, slot.connection._target, "in_transaction")
        assert not slot.connection._thread.run(in_transaction)
    await check(t)


async def cancel_everywhere(
    t: Transactions,
    operation: Operation,
    cancel: Cancel,
    when: str,
    check: Callable[[Transactions], Awaitable[Any]],
) -> None:
    t.expected[0] = 30
    await t.markers.abulk_create([t.row(0) for _ in range(30)])
    k = 0
    while True:
        k += 1
        task, steps = await cancelled_at(
            lambda: operation(t), lambda step, k=k: WHEN[when](step, k), cancel
        )
        await check(t)
        if steps < k:
            break
        assert task.cancelled(), f"cancelled at step {k}: {task}"
    assert k > 1
    number = task.result()
    if number is not None:
        assert await t.markers.filter(step=number).acount() == t.expected[number]


def in_each_way(test: Any) -> Any:
    name = attrgetter("__name__")
    test = pytest.mark.parametrize("operation", OPERATIONS, ids=name)(test)
    test = pytest.mark.parametrize("cancel", [cancel_before, cancel_with_result], ids=name)(test)
    return pytest.mark.parametrize("when", WHEN)(test)


@in_each_way
def test_postgres(
    loop_runner: LoopRunner,
    server: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    operation: Operation,
    cancel: Cancel,
    when: str,
) -> None:
    # What would wait on a busy loop only, waits always.
    monkeypatch.setattr(waiting, "MAX_BUSY_TIME", -1)
    t = Transactions("default")
    loop_runner(cancel_everywhere, t, operation, cancel, when, partial(check_postgres, server))


@in_each_way
def test_sqlite(sqlite_tables: None, operation: Operation, cancel: Cancel, when: str) -> None:
    # One kind of loop is enough: the driver's thread waits, not the loop.
    t = Transactions("sqlite")
    LoopRunner("asyncio")(cancel_everywhere, t, operation, cancel, when, check_sqlite)
