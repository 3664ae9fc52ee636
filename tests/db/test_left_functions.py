"""Functions that go on in threads when their callers have left: each has its own transaction."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

import django_loom
from django_loom import run_sync
from django_loom.bridge import unit_of_work
from django_loom.offload import Executor
from tests.db.support import let_others_run
from tests.db.thread_ways import Way, in_any_thread, in_executor, in_sync_to_async, names
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables", "sqlite_tables")


async def in_run_sync(function: Callable[..., Any], *args: Any) -> Any:
    def call() -> Any:
        return Executor("left", 1).call(function, *args)

    return await run_sync(call)


# How a function gets to a thread, and how many cancellations its caller needs to leave it.
WAYS: dict[Way, int] = {in_sync_to_async: 1, in_any_thread: 1, in_executor: 2, in_run_sync: 2}


class LeftFunction:
    """A function in a thread, and a caller that leaves it in the midst."""

    def __init__(self, around: AbstractContextManager[Any]) -> None:
        self._around = around
        self._inside, self._goes_on, self.ended = (threading.Event() for _ in range(3))

    def __call__(self) -> None:
        try:
            with self._around:
                self._inside.set()
                assert self._goes_on.wait(10)
        finally:
            self.ended.set()

    @asynccontextmanager
    async def left(self, way: Way) -> AsyncIterator[None]:
        """A block in whose midst the function goes on; it has ended after it."""
        caller: Any = asyncio.current_task()
        canceller = asyncio.create_task(self._cancel(caller, WAYS[way]))
        with pytest.raises(asyncio.CancelledError):
            await way(self)
        await canceller
        assert not self.ended.is_set()
        try:
            yield
        finally:
            self._goes_on.set()
            await aeventually(self.ended.is_set)

    async def _cancel(self, caller: asyncio.Task[Any], times: int) -> None:
        await aeventually(self._inside.is_set)
        for _ in range(times):
            caller.cancel()
            await let_others_run()
            caller.uncancel()


@contextmanager
def failing_block(alias: str) -> Iterator[None]:
    try:
        with transaction.atomic(alias):
            Author.objects.using(alias).create(name="undone")
            yield
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    finally:
        connections[alias].close()


def refuse(*args: Any) -> None:
    raise AssertionError("not the function's own query")


@contextmanager
def refusing(alias: str) -> Iterator[None]:
    with connections[alias].execute_wrapper(refuse):
        yield


@contextmanager
def capturing(alias: str) -> Iterator[None]:
    with CaptureQueriesContext(connections[alias]):
        yield
    connections[alias].close()


def state(alias: str) -> Any:
    connection = connections[alias]
    wrappers = list(connection.execute_wrappers)
    return connection.in_atomic_block, wrappers, connection.force_debug_cursor


def write(alias: str, name: str) -> None:
    Author.objects.using(alias).create(name=name)
    connections[alias].close()


@pytest.mark.parametrize("in_unit", [True, False])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("around", [failing_block, refusing, capturing])
@pytest.mark.parametrize("alias", ["default", "sqlite"])
def test_a_caller_that_has_left_is_in_nothing_that_its_function_has_entered(
    loop_runner: LoopRunner, alias: str, around: Any, way: Way, in_unit: bool
) -> None:
    async def main() -> None:
        with unit_of_work() if in_unit else nullcontext():
            async with LeftFunction(around(alias)).left(way):
                outside = False, [], False
                assert await run_sync(state, alias) == outside
                assert await in_any_thread(state, alias) == outside
            await run_sync(write, alias, "on the loop")
            await in_any_thread(write, alias, "in a thread")

    loop_runner(main)
    assert names(alias) == ["in a thread", "on the loop"]


@pytest.mark.parametrize("alias", ["default", "sqlite"])
def test_a_caller_that_stays_is_in_what_its_function_has_entered(
    loop_runner: LoopRunner, alias: str
) -> None:
    """A block may be entered by one function, and left by another."""

    async def main() -> None:
        with unit_of_work():
            block = transaction.atomic(alias)
            await in_any_thread(block.__enter__)
            await run_sync(Author.objects.using(alias).create, name="undone")
            error = ZeroDivisionError()
            await in_any_thread(block.__exit__, type(error), error, None)

    loop_runner(main)
    assert not Author.objects.using(alias).exists()


def test_another_task_of_the_same_context_keeps_its_block(loop_runner: LoopRunner) -> None:
    """It has begun that since the function began, and goes on in it."""
    begun, go_on = threading.Event(), threading.Event()

    def function() -> None:
        begun.set()
        go_on.wait(10)

    async def waits() -> None:
        await sync_to_async(function, thread_sensitive=False)()

    async def writes(task: asyncio.Task[None]) -> None:
        async with django_loom.atomic():
            await Author.objects.acreate(name="before")
            task.cancel()
            await asyncio.wait([task])
            await Author.objects.acreate(name="after")
            raise ZeroDivisionError

    async def main() -> None:
        context = contextvars.Context()
        task = asyncio.create_task(waits(), context=context)
        await aeventually(begun.is_set)
        other = asyncio.create_task(writes(task), context=context)
        await asyncio.wait([other])
        go_on.set()
        assert isinstance(other.exception(), ZeroDivisionError)
        assert [author.name async for author in Author.objects.all()] == []

    loop_runner(main)
