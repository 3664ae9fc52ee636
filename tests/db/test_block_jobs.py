"""What a block on the loop sends to a thread does not stand behind those who wait for the block."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import pytest
from asgiref.sync import ThreadSensitiveContext, async_to_sync, sync_to_async
from django.db import transaction

import django_loom
from django_loom import await_, run_sync
from django_loom.bridge import unit_of_work
from tests.db.support import second_alias
from tests.loops import LoopRunner
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables", "sqlite_tables")
Body = Callable[[], Awaitable[None]]
local = threading.local()


@pytest.fixture(params=["default", "sqlite"])
def alias(request: pytest.FixtureRequest) -> Iterator[str]:
    """One on which the unit of the test has one connection, or one writer."""
    pool = {"max_size": 1, "timeout": 5}
    with second_alias(request.param, OPTIONS={"pool": pool}) as alias:
        yield alias
        assert django_loom.pool(alias).statistics().used == 0


async def in_async_block(alias: str, body: Body) -> None:
    async with django_loom.atomic(alias):
        await body()


async def in_sync_block(alias: str, body: Body) -> None:
    def block() -> None:
        with transaction.atomic(alias):
            await_(body())

    await run_sync(block)


async def below_async_to_sync(alias: str, body: Body) -> None:
    def block() -> None:
        with transaction.atomic(alias):
            async_to_sync(body)()

    await run_sync(block)


async def at_commit(alias: str, body: Body) -> None:
    def block() -> None:
        with transaction.atomic(alias):
            Author.objects.using(alias).create(name="block")
            transaction.on_commit(partial(async_to_sync(body)), using=alias)

    await run_sync(block)


async def in_cursor(alias: str, body: Body) -> None:
    async for _ in Author.objects.using(alias).aiterator(chunk_size=1):
        await body()
        return


BLOCKS = [in_async_block, in_sync_block, below_async_to_sync, at_commit]


class Waiting:
    """A function in the unit's thread that waits for the connection which a block has."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.begun, self.ended = threading.Event(), threading.Event()
        self.outside = contextvars.copy_context()
        self.task: asyncio.Task[Any] | None = None

    def __call__(self) -> str:
        self.begun.set()
        try:
            Author.objects.using(self.alias).create(name="waiting")
        finally:
            self.ended.set()
        return "waiting"

    async def begin(self) -> None:
        """Take the thread, as a task beside the block does."""
        loop = asyncio.get_running_loop()
        self.task = loop.create_task(sync_to_async(self)(), context=self.outside)
        await asyncio.to_thread(self.begun.wait, 10)


def in_unit(loop_runner: LoopRunner, main: Callable[[], Awaitable[None]]) -> None:
    async def unit() -> None:
        with unit_of_work():
            async with ThreadSensitiveContext(), asyncio.timeout(30):
                await main()

    loop_runner(unit)


@pytest.mark.parametrize("block", [*BLOCKS, in_cursor])
def test_what_a_block_awaits_runs_though_a_function_waits_for_the_block(
    loop_runner: LoopRunner, alias: str, block: Callable[[str, Body], Awaitable[None]]
) -> None:
    order: list[str] = []

    async def body() -> None:
        await waiting.begin()
        await sync_to_async(order.append)("function")

    async def main() -> None:
        nonlocal waiting
        await Author.objects.using(alias).acreate(name="first")
        waiting = Waiting(alias)
        await block(alias, body)
        assert waiting.task is not None
        order.append(await waiting.task)

    waiting: Waiting
    in_unit(loop_runner, main)
    assert order == ["function", "waiting"]


def test_it_stays_so_when_nobody_awaits_that_function_any_more(
    loop_runner: LoopRunner, alias: str
) -> None:
    async def main() -> None:
        waiting = Waiting(alias)
        async with django_loom.atomic(alias):
            await waiting.begin()
            assert waiting.task is not None
            waiting.task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting.task
            assert await sync_to_async(str)(1) == "1"
            assert not waiting.ended.is_set()

    in_unit(loop_runner, main)


def test_a_function_elsewhere_is_in_the_block_and_in_the_unit(
    loop_runner: LoopRunner, alias: str
) -> None:
    def function(name: str) -> Any:
        Author.objects.using(alias).create(name=name)
        return local.name

    async def main() -> None:
        waiting = Waiting(alias)
        await run_sync(setattr, local, "name", "of the unit")
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            async with django_loom.atomic(alias):
                await waiting.begin()
                assert await sync_to_async(function)("undone") == "of the unit"
                raise ZeroDivisionError
        assert waiting.task is not None
        await waiting.task
        names = await run_sync(list, Author.objects.using(alias).values_list("name", flat=True))
        assert names == ["waiting"]

    in_unit(loop_runner, main)


def test_functions_of_one_block_run_one_at_a_time(loop_runner: LoopRunner, alias: str) -> None:
    log: list[str] = []

    def function() -> None:
        log.append("begin")
        Author.objects.using(alias).count()
        log.append("end")

    async def main() -> None:
        waiting = Waiting(alias)
        async with django_loom.atomic(alias):
            before = [asyncio.create_task(sync_to_async(function)()) for _ in range(2)]
            await waiting.begin()
            await asyncio.gather(*before, *[sync_to_async(function)() for _ in range(3)])
        assert waiting.task is not None
        await waiting.task

    in_unit(loop_runner, main)
    assert log == ["begin", "end"] * 5


def test_what_such_a_function_awaits_is_sent_to_its_own_thread(
    loop_runner: LoopRunner, alias: str
) -> None:
    def function() -> tuple[int, int]:
        return threading.get_ident(), async_to_sync(below)()

    async def below() -> int:
        return await sync_to_async(threading.get_ident)()

    async def main() -> None:
        waiting = Waiting(alias)
        async with django_loom.atomic(alias):
            await waiting.begin()
            ident, ident_below = await sync_to_async(function)()
            assert ident == ident_below
        assert waiting.task is not None
        await waiting.task

    in_unit(loop_runner, main)


def test_a_block_has_the_units_thread_where_that_is_free(
    loop_runner: LoopRunner, alias: str
) -> None:
    async def main() -> None:
        ident = await sync_to_async(threading.get_ident)()
        async with django_loom.atomic(alias):
            assert await sync_to_async(threading.get_ident)() == ident
            assert await run_sync(async_to_sync(sync_to_async(threading.get_ident))) == ident

    in_unit(loop_runner, main)


def test_a_thread_that_waits_for_a_block_serves_it(loop_runner: LoopRunner, alias: str) -> None:
    """It may hold a lock of its own, which the function takes once more."""

    def in_thread() -> bool:
        return threading.get_ident() == async_to_sync(sync_to_async(threading.get_ident))()

    async def main() -> None:
        async with django_loom.atomic(alias):
            assert await asyncio.to_thread(in_thread)
            assert await sync_to_async(in_thread)()

    in_unit(loop_runner, main)
