"""Whose block it is that a coroutine or a generator leaves, in whatever code that is freed."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connections, transaction
from django.db.transaction import TransactionManagementError

import django_loom
from django_loom import await_, run_sync
from django_loom.bridge import unit_of_work
from tests.db.support import in_use
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables", "sqlite_tables")


def add(name: str, alias: str = "default") -> None:
    Author.objects.using(alias).create(name=name)


async def names(alias: str = "default") -> list[str]:
    return sorted([author.name async for author in Author.objects.using(alias)])


@contextmanager
def collected_by_hand() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


# One object of ``django_loom.atomic()``, and a task that is collected.


async def directly(block: Any, ready: asyncio.Event, name: str) -> None:
    async with block:
        await run_sync(add, name)
        ready.set()
        await asyncio.get_running_loop().create_future()


async def by_stack(block: Any, ready: asyncio.Event, name: str) -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(block)
        await run_sync(add, name)
        ready.set()
        await asyncio.get_running_loop().create_future()


async def collect_in_coroutine() -> None:
    gc.collect()


async def collect_in_call() -> None:
    await run_sync(gc.collect)


@pytest.mark.parametrize("enters", [directly, by_stack])
@pytest.mark.parametrize("also_enters", [directly, by_stack])
@pytest.mark.parametrize("collect", [collect_in_coroutine, collect_in_call])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_collected_task_gives_up_its_own_block(
    enters: Any, also_enters: Any, collect: Callable[[], Awaitable[None]]
) -> None:
    """In the midst of another task's, by the same object; a third one goes on as well."""

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        block = django_loom.atomic()
        ready, also_ready = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(also_enters(block, also_ready, "cancelled"))
        await also_ready.wait()
        asyncio.create_task(enters(block, ready, "collected"))  # noqa: RUF006 - nobody has it
        await ready.wait()
        await asyncio.sleep(0)
        async with block:
            await run_sync(add, "before")
            before = in_use()
            await collect()
            await aeventually(lambda: in_use() == before - 1)
            await run_sync(add, "after")
            assert await run_sync(lambda: transaction.get_connection().in_atomic_block)
        assert await names() == ["after", "before"]
        task.cancel()
        await asyncio.wait([task])
        assert (await names(), in_use()) == (["after", "before"], 0)

    with collected_by_hand():
        asyncio.run(main())


# One object of ``transaction.atomic()``, and generators that are freed.


def rows(block: transaction.Atomic, name: str) -> Iterator[None]:
    with block:
        add(name)
        yield


def free_at_once(left: list[Any]) -> None:
    left.clear()


def free_in_collection(left: list[Any]) -> None:
    cycle = [*left]
    cycle.append(cycle)
    left.clear()
    del cycle
    gc.collect()


@pytest.mark.parametrize("free", [free_at_once, free_in_collection])
@pytest.mark.parametrize("by_object", [False, True])
def test_a_generator_that_is_freed_ends_its_own_block(
    loop_runner: LoopRunner, free: Callable[[list[Any]], None], by_object: bool
) -> None:
    """In the midst of another unit's, where others are open by the same object."""
    block = transaction.atomic()
    left: list[Any] = []

    def leave(others: list[Any], go_on: asyncio.Event) -> None:
        left.append(rows(block, "left"))
        next(left[0])
        await_(go_on.wait())

    def go_on_later(ready: asyncio.Event, go_on: asyncio.Event) -> None:
        mine = rows(block, "went on")
        next(mine)
        ready.set()
        await_(go_on.wait())
        assert next(mine, "ended") == "ended"

    def in_the_midst() -> None:
        with block if by_object else transaction.atomic():
            add("before")
            free(left)
            assert transaction.get_connection().in_atomic_block
            add("after")

    async def unit(function: Any, *args: Any) -> None:
        with unit_of_work():
            await run_sync(function, *args)

    async def main() -> None:
        ready, go_on = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(unit(leave, left, go_on))
        second = asyncio.create_task(unit(go_on_later, ready, go_on))
        await ready.wait()
        await aeventually(lambda: left)
        await unit(in_the_midst)
        assert await names() == ["after", "before"]
        go_on.set()
        await asyncio.gather(first, second)
        assert await names() == ["after", "before", "went on"]
        await aeventually(lambda: in_use() == 0)

    with collected_by_hand():
        loop_runner(main)


# An error that keeps a generator, which has a block in that which it leaves.


class Failed(Exception):
    pass


async def in_a_block(alias: str) -> AsyncIterator[int]:
    async with django_loom.atomic(alias):
        await run_sync(add, "of the generator", alias)
        yield 1
        yield 2


async def fail_half_way(alias: str) -> None:
    kept = in_a_block(alias)  # by this frame, and that by the traceback
    async for _ in kept:
        raise Failed


def on_the_loop(main: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(main())  # type: ignore[arg-type]


def in_a_waiting_thread(main: Callable[[], Awaitable[None]]) -> None:
    async_to_sync(main)()


@pytest.mark.parametrize("run", [on_the_loop, in_a_waiting_thread])
@pytest.mark.parametrize("alias", ["default", "sqlite"])
def test_an_error_leaves_a_block_around_a_generator_that_it_keeps(
    run: Callable[[Any], None], alias: str
) -> None:
    """At once: who waited for the generator's block would wait for himself."""

    async def fail() -> None:
        async with django_loom.atomic(alias):
            await run_sync(add, "around", alias)
            await fail_half_way(alias)

    async def main() -> None:
        with pytest.raises(Failed) as raised:
            await fail()
        assert await names(alias) == []
        await run_sync(add, "afterwards", alias)
        assert await names(alias) == ["afterwards"]
        del raised

    run(main)
    gc.collect()
    connections[alias].close()
    assert in_use(alias) == 0


def test_a_generator_that_nobody_keeps_is_closed_first(loop_runner: LoopRunner) -> None:
    """The connection is not lost for it: the generator's block ends as any other."""

    async def fail_without_traceback() -> None:
        try:
            async for _ in in_a_block("default"):
                raise Failed
        except Failed as error:
            error.__traceback__ = None
            raise error from None

    async def fail() -> None:
        async with django_loom.atomic():
            await fail_without_traceback()

    async def main() -> None:
        await run_sync(add, "there")
        pool = django_loom.pool()
        created = pool.statistics().created
        with pytest.raises(Failed):
            await fail()
        assert await names() == ["there"]
        assert (pool.statistics().created, in_use()) == (created, 0)

    loop_runner(main)


def test_a_stream_that_is_left_closes_the_generators_in_it(loop_runner: LoopRunner) -> None:
    async def parts(source: AsyncIterator[int]) -> AsyncIterator[int]:
        async with django_loom.atomic():
            async for part in source:
                yield part

    async def main() -> None:
        stream = parts(in_a_block("default"))
        await anext(stream)
        await stream.aclose()
        await aeventually(lambda: in_use() == 0)
        assert await names() == []

    loop_runner(main)


def test_code_that_goes_on_with_the_generator_is_told(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        generator = in_a_block("default")

        async def fail() -> None:
            async with django_loom.atomic():
                await anext(generator)
                raise Failed

        with pytest.raises(Failed):
            await fail()
        assert await anext(generator) == 2
        with pytest.raises(TransactionManagementError, match="with the one around it"):
            await anext(generator)
        assert (await names(), in_use()) == ([], 0)

    loop_runner(main)


def test_a_block_around_both_goes_on(loop_runner: LoopRunner) -> None:
    """It has caught the error, and rolled back no more than the block in it."""
    kept: list[Failed] = []

    async def main() -> None:
        async with django_loom.atomic():
            await run_sync(add, "outer")
            try:
                async with django_loom.atomic():
                    await run_sync(add, "inner")
                    await fail_half_way("default")
            except Failed as error:
                kept.append(error)
            await run_sync(add, "outer, too")
        assert (await names(), in_use()) == (["outer", "outer, too"], 0)
        kept.clear()

    loop_runner(main)


@pytest.mark.parametrize("turns", range(4))
def test_a_cancellation_meanwhile_leaves_nothing(loop_runner: LoopRunner, turns: int) -> None:
    kept: list[BaseException] = []

    async def fail() -> None:
        async with django_loom.atomic():
            await run_sync(add, "around")
            try:
                await fail_half_way("default")
            except Failed as error:
                kept.append(error)
                leaves.set()
                raise

    leaves = asyncio.Event()

    async def main() -> None:
        leaves.clear()
        task = asyncio.create_task(fail())
        await leaves.wait()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or isinstance(task.exception(), Failed)
        await aeventually(lambda: in_use() == 0)
        assert await names() == []
        kept.clear()

    loop_runner(main)
