"""Whose block it is that a coroutine or a generator leaves, in whatever code that is freed."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import pytest
from django.db import transaction

import django_loom
from django_loom import await_, run_sync
from django_loom.bridge import unit_of_work
from django_loom.db.postgresql import waiting
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


# A generator that is closed, and whose block is left in another frame than its own.


@asynccontextmanager
async def wrapped(block: Any) -> AsyncIterator[None]:
    async with block:
        yield


async def by_stack_in_generator() -> AsyncIterator[int]:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(django_loom.atomic())
        await run_sync(add, "of the generator")
        yield 1


async def by_wrapper_in_generator() -> AsyncIterator[int]:
    async with wrapped(django_loom.atomic()):
        await run_sync(add, "of the generator")
        yield 1


@pytest.mark.parametrize("make", [by_stack_in_generator, by_wrapper_in_generator])
def test_a_generator_that_is_closed_rolls_back_its_block_alone(
    loop_runner: LoopRunner, make: Callable[[], Any]
) -> None:
    async def main() -> None:
        await run_sync(add, "there")
        created = django_loom.pool().statistics().created
        async with django_loom.atomic():
            await run_sync(add, "before")
            generator = make()
            await anext(generator)
            await generator.aclose()
            await run_sync(add, "after")
        assert await names() == ["after", "before", "there"]
        assert (django_loom.pool().statistics().created, in_use()) == (created, 0)

    loop_runner(main)


@pytest.mark.parametrize("around", [lambda block: block, wrapped])
def test_a_coroutine_that_is_closed_by_hand_gives_up_its_block(
    loop_runner: LoopRunner, around: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "MAX_BUSY_TIME", -1)  # each wait goes by the loop

    async def half_way(ready: asyncio.Event) -> None:
        async with around(django_loom.atomic()):
            await run_sync(add, "closed")
            ready.set()
            await asyncio.get_running_loop().create_future()

    async def main() -> None:
        ready = asyncio.Event()
        task = asyncio.create_task(half_way(ready))
        await ready.wait()
        coroutine: Any = task.get_coro()
        await asyncio.sleep(0)
        coroutine.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)  # which finds it closed
        await aeventually(lambda: in_use() == 0)
        assert await names() == []

    loop_runner(main)
