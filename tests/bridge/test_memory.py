"""Calls leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from greenlet import greenlet

from django_loom.bridge import await_, run_sync, suspend
from tests.loops import LoopRunner

from .tools import calls_in_use, fail, untraced


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def nothing() -> None:
    pass


def return_at_once() -> None:
    pass


def wait_on_the_loop() -> None:
    await_(asyncio.sleep(0))


def raise_at_once() -> None:
    raise LookupError


def fail_in_a_wait() -> None:
    await_(fail(LookupError()))


async def call(function: Callable[[], None], times: int) -> None:
    for _ in range(times):
        with contextlib.suppress(LookupError):
            await run_sync(function)


@untraced
@pytest.mark.parametrize(
    "function",
    [return_at_once, wait_on_the_loop, raise_at_once, fail_in_a_wait],
)
def test_100_000_calls_leave_nothing_behind(
    loop_runner: LoopRunner, function: Callable[[], None]
) -> None:
    def left() -> tuple[int, int]:
        gc.collect()
        return len(gc.get_objects()), sys.getallocatedblocks()

    async def main() -> tuple[int, int]:
        await call(function, 100)
        objects, blocks = left()
        await call(function, 100_000)
        objects_now, blocks_now = left()
        return objects_now - objects, blocks_now - blocks

    objects, blocks = loop_runner(main)
    assert objects < 20
    assert blocks < 500
    assert calls_in_use() == []


@pytest.mark.usefixtures("without_collector")
def test_an_exception_of_a_future_is_in_no_reference_cycle(loop_runner: LoopRunner) -> None:
    class Error(Exception):
        pass

    errors: list[weakref.ref[Error]] = []

    async def main() -> None:
        def caught_inside() -> None:
            future = loop.create_future()
            future.set_exception(Error())
            waits: list[Any] = [future]
            del future
            try:
                await_(waits.pop())
            except Error as error:
                errors.append(weakref.ref(error))
            await_(nothing())  # until then the coroutine is in the midst of throwing it
            assert errors.pop()() is None

        def caught_outside() -> None:
            future = loop.create_future()
            future.set_exception(Error())
            waits: list[Any] = [future]
            del future
            await_(waits.pop())

        loop = asyncio.get_running_loop()
        await run_sync(caught_inside)
        try:
            await run_sync(caught_outside)
        except Error as error:
            errors.append(weakref.ref(error))
        assert errors.pop()() is None

    loop_runner(main)


@pytest.mark.usefixtures("without_collector")
def test_a_cancellation_is_in_no_reference_cycle(loop_runner: LoopRunner) -> None:
    class Local:
        pass

    async def main() -> None:
        started = asyncio.Event()
        locals_: list[weakref.ref[Local]] = []

        def function() -> None:
            local = Local()
            locals_.append(weakref.ref(local))
            started.set()
            await_(asyncio.Event().wait())

        task = asyncio.create_task(run_sync(function))
        await started.wait()
        task.cancel()
        await asyncio.wait([task])
        del task
        assert locals_[0]() is None

    loop_runner(main)


class Value:
    """What a wait returns."""


async def return_value(value: Value) -> Value:
    await asyncio.sleep(0)
    return value


def value_of_a_coroutine(loop: asyncio.AbstractEventLoop) -> Any:
    return return_value(Value())


def value_of_a_future(loop: asyncio.AbstractEventLoop) -> Any:
    future = loop.create_future()
    future.set_result(Value())
    return future


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("wait", [await_, suspend])
@pytest.mark.parametrize("in_child", [False, True], ids=["call", "greenlet"])
@pytest.mark.parametrize("awaitable", [value_of_a_coroutine, value_of_a_future])
def test_what_a_wait_returned_is_freed_when_the_code_drops_it(
    loop_runner: LoopRunner,
    awaitable: Callable[[asyncio.AbstractEventLoop], Any],
    in_child: bool,
    wait: Callable[[Any], Any],
) -> None:
    def function(loop: asyncio.AbstractEventLoop) -> bool:
        value = wait(awaitable(loop))
        assert isinstance(value, Value)
        gone = weakref.ref(value)
        del value
        return gone() is None

    async def main() -> None:
        loop = asyncio.get_running_loop()
        if in_child:
            assert await run_sync(lambda: greenlet(function).switch(loop))
        else:
            assert await run_sync(function, loop)

    loop_runner(main)
