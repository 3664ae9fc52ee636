"""Blocks of async code in a thread that waits, and transactions of its synchronous code."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connections, transaction
from django.db.models.signals import pre_delete

import django_loom
from django_loom import await_, run_sync
from django_loom.exceptions import TransactionBusy
from tests.db.support import let_others_run, second_alias
from tests.db.waiting_threads import (
    DATABASES,
    WRITES,
    by_orm,
    by_sync_to_async,
    each_write,
    execute,
    in_atomic,
    names,
    on_database,
)
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables", "sqlite_tables")


@pytest.fixture(params=DATABASES)
def alias(request: pytest.FixtureRequest) -> Iterator[str]:
    with on_database(*request.param) as alias:
        yield alias


@pytest.fixture
def postgresql() -> Iterator[str]:
    with second_alias("default", OPTIONS={}) as alias:
        yield alias


# Blocks of async code have the thread's one connection for themselves.


async def nothing(alias: str) -> None:
    """Begin with no block."""


async def a_block(alias: str) -> None:
    await in_atomic(alias, "before")


async def rows_in_a_block(alias: str) -> AsyncIterator[int]:
    async with django_loom.atomic(alias):
        await by_orm(alias, "undone")
        yield 1
        yield 2


async def a_left_block(alias: str) -> None:
    async for _ in rows_in_a_block(alias):
        break
    await by_orm(alias, "before")


@pytest.mark.parametrize("first", [nothing, a_block, a_left_block])
@each_write
def test_what_is_beside_a_block_waits_for_its_end(
    alias: str, write: Callable[..., Awaitable[None]], first: Callable[[str], Awaitable[None]]
) -> None:
    """But what the user's own sync_to_async() runs, which is in it, as in any thread."""
    ready, begun = asyncio.Event(), asyncio.Event()
    order: list[str] = []

    async def block() -> None:
        await ready.wait()
        async with django_loom.atomic(alias):
            await by_orm(alias, "undone")
            begun.set()
            await let_others_run()
            order.append("block")
            raise ZeroDivisionError

    async def beside() -> None:
        await first(alias)
        ready.set()
        await begun.wait()
        await write(alias, "beside")
        order.append("beside")

    async def main() -> None:
        failure, _ = await asyncio.gather(block(), beside(), return_exceptions=True)
        assert isinstance(failure, ZeroDivisionError)

    async_to_sync(main)()
    if write is not by_sync_to_async:
        assert order == ["block", "beside"]
        assert names(alias) == ([] if first is nothing else ["before"]) + ["beside"]


def test_blocks_come_one_after_the_other_and_nested_ones_too(alias: str) -> None:
    async def block(name: str, depth: int) -> None:
        async with django_loom.atomic(alias):
            await by_orm(alias, name)
            if depth:
                await asyncio.gather(
                    *[block(f"{name}{number}", depth - 1) for number in range(3)],
                    by_orm(alias, f"{name}x"),
                    return_exceptions=True,
                )
            if name.endswith("1"):
                raise ZeroDivisionError

    async def main() -> None:
        found = await asyncio.gather(*[block(f"{n}", 2) for n in range(3)], return_exceptions=True)
        assert [type(each) for each in found] == [type(None), ZeroDivisionError, type(None)]

    async_to_sync(main)()
    of_one = ["", "0", "00", "02", "0x", "2", "20", "22", "2x", "x"]
    assert names(alias) == sorted(f"{outer}{name}" for outer in "02" for name in of_one)


def test_a_call_that_waits_in_itself_goes_on_after_a_block(alias: str) -> None:
    async def main() -> None:
        begun, goes_on = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def call() -> None:
            loop.call_soon_threadsafe(begun.set)
            await_(goes_on.wait())
            Author.objects.using(alias).create(name="call")

        task = asyncio.create_task(run_sync(call))
        await begun.wait()
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            async with django_loom.atomic(alias):
                goes_on.set()
                await by_orm(alias, "undone")
                await let_others_run()
                raise ZeroDivisionError
        await task

    async_to_sync(main)()
    assert names(alias) == ["call"]


def test_who_waits_for_a_block_too_long_gets_an_error(postgresql: str) -> None:
    async def main() -> None:
        async with django_loom.atomic(postgresql):
            await by_orm(postgresql, "block")
            other = asyncio.create_task(by_orm(postgresql, "beside"), context=outside)
            with pytest.raises(TransactionBusy, match="async_to_sync"):
                await other

    connections[postgresql].__dict__["pool_options"] = _impatient(postgresql)
    outside = contextvars.copy_context()
    async_to_sync(main)()
    assert names(postgresql) == ["block"]


def _impatient(alias: str) -> Any:
    return replace(connections[alias].pool_options, timeout=0.05)  # type: ignore[attr-defined]


def test_a_generator_that_is_left_in_its_block_harms_nobody(alias: str) -> None:
    async def main() -> None:
        async for _ in rows_in_a_block(alias):
            break
        await by_orm(alias, "after")

    async_to_sync(main)()
    assert names(alias) == ["after"]


def test_hooks_of_a_commit_run_after_the_block(alias: str) -> None:
    calls: list[Any] = []

    async def hook() -> None:
        calls.append(await Author.objects.using(alias).acount())

    async def main() -> None:
        async with django_loom.atomic(alias):
            await by_orm(alias, "block")
            transaction.on_commit(hook, using=alias)
            assert calls == []

    async_to_sync(main)()
    assert calls == [1]


# Nor does anything come into a transaction of synchronous code that waits.


async def in_durable(alias: str, name: str) -> None:
    def write() -> None:
        with transaction.atomic(alias, durable=True):
            Author.objects.using(alias).create(name=name)

    await run_sync(write)


class Undone:
    """Deletes "kept" in a transaction; waits for async code in it, which raises."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.began = asyncio.Event()

    async def body(self, **kwargs: Any) -> None:
        self.began.set()
        await let_others_run()
        for write in (by_orm, in_durable_not, by_sync_to_async, in_atomic):
            await write(self.alias, f"undone {write.__name__}")
        await asyncio.create_task(by_orm(self.alias, "undone by a task"))
        raise ZeroDivisionError

    async def by_async_receiver(self) -> None:
        author = await Author.objects.using(self.alias).aget(name="kept")
        pre_delete.connect(self.body)
        try:
            await author.adelete()
        finally:
            pre_delete.disconnect(self.body)

    async def in_block(self) -> None:
        def block() -> None:
            with transaction.atomic(self.alias):
                Author.objects.using(self.alias).filter(name="kept").delete()
                await_(self.body())

        await run_sync(block)

    async def without_autocommit(self) -> None:
        def call() -> None:
            transaction.set_autocommit(False, using=self.alias)
            try:
                Author.objects.using(self.alias).filter(name="kept").delete()
                await_(self.without_blocks())
            finally:
                transaction.rollback(using=self.alias)
                transaction.set_autocommit(True, using=self.alias)

        await run_sync(call)

    async def without_blocks(self) -> None:
        self.began.set()
        await let_others_run()
        await by_orm(self.alias, "undone")
        raise ZeroDivisionError


async def in_durable_not(alias: str, name: str) -> None:
    with pytest.raises(RuntimeError, match="durable"):
        await in_durable(alias, name)


HOWS = [Undone.by_async_receiver, Undone.in_block, Undone.without_autocommit]


@pytest.mark.parametrize("write", [*WRITES, in_durable])
@pytest.mark.parametrize("how", HOWS)
def test_what_is_beside_a_transaction_that_waits_is_not_in_it(
    alias: str,
    how: Callable[[Undone], Awaitable[None]],
    write: Callable[[str, str], Awaitable[None]],
) -> None:
    async def main() -> None:
        undone = Undone(alias)
        await by_orm(alias, "kept")

        async def beside() -> None:
            await undone.began.wait()
            await write(alias, "beside")

        failure, _ = await asyncio.gather(how(undone), beside(), return_exceptions=True)
        assert isinstance(failure, ZeroDivisionError)

    async_to_sync(main)()
    assert names(alias) == ["beside", "kept"]


def test_a_wrapper_of_statements_is_its_calls(alias: str) -> None:
    async def main() -> None:
        began = asyncio.Event()

        async def body() -> None:
            began.set()
            await let_others_run()
            await by_orm(alias, "of the call")

        def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            seen.extend(params)
            return execute(sql, params, many, context)

        def call() -> None:
            with connections[alias].execute_wrapper(count):
                await_(body())

        async def beside() -> None:
            await began.wait()
            await by_orm(alias, "beside")

        await asyncio.gather(run_sync(call), beside())

    seen: list[Any] = []
    async_to_sync(main)()
    assert "of the call" in seen
    assert "beside" not in seen


def test_a_transaction_of_a_statement_keeps_its_thread_too(postgresql: str) -> None:
    async def main() -> None:
        began = asyncio.Event()

        async def body() -> None:
            began.set()
            await let_others_run()

        def call() -> None:
            execute(postgresql, "BEGIN")
            Author.objects.using(postgresql).create(name="undone")
            await_(body())
            execute(postgresql, "ROLLBACK")

        async def beside() -> None:
            await began.wait()
            await by_orm(postgresql, "beside")

        await asyncio.gather(run_sync(call), beside())

    async_to_sync(main)()
    assert names(postgresql) == ["beside"]


def test_a_transaction_that_waits_is_undone_when_it_is_cancelled(alias: str) -> None:
    async def main() -> None:
        waits = asyncio.Event()

        async def body() -> None:
            waits.set()
            await asyncio.sleep(60)

        def call() -> None:
            with transaction.atomic(alias):
                Author.objects.using(alias).create(name="undone")
                await_(body())

        task = asyncio.create_task(run_sync(call))
        await waits.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await by_orm(alias, "after")

    async_to_sync(main)()
    assert names(alias) == ["after"]


def test_a_task_that_outlives_its_thread_ends_its_work_there(alias: str) -> None:
    """asyncio.run() → sync_to_async() → async_to_sync(), which starts a task."""

    async def main() -> None:
        receives, returns = asyncio.Event(), asyncio.Event()

        async def receiver(**kwargs: Any) -> None:
            receives.set()
            await returns.wait()
            await let_others_run()

        async def delete() -> None:
            author = await Author.objects.using(alias).acreate(name="deleted")
            await author.adelete()
            async with django_loom.atomic(alias):
                await by_orm(alias, "after")

        async def start() -> None:
            tasks.append(asyncio.create_task(delete()))
            await receives.wait()
            returns.set()

        tasks: list[asyncio.Task[None]] = []
        pre_delete.connect(receiver)
        try:
            await sync_to_async(lambda: async_to_sync(start)())()
            await tasks[0]
        finally:
            pre_delete.disconnect(receiver)
        await sync_to_async(lambda: connections[alias].close())()

    asyncio.run(main())
    assert names(alias) == ["after"]
