"""A call in a thread that has begun something keeps its thread while it waits."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async

from django_loom import await_, run_sync
from django_loom.bridge import (
    begin_block,
    waiting_threads,
)
from django_loom.exceptions import BridgeError

from .tools import turns

# A call that has begun something keeps its thread while it waits.


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What has been begun, as blocks are on a thread's connection."""
    begun: list[str] = []
    monkeypatch.setattr(waiting_threads, "begun_in_thread", lambda: len(begun))
    return begun


Wait = Callable[[Callable[[], Any]], Any]


def by_await(function: Callable[[], Any]) -> Any:
    return await_(function())


def by_async_to_sync(function: Callable[[], Any]) -> Any:
    return async_to_sync(function)()


each_wait = pytest.mark.parametrize("wait", [by_await, by_async_to_sync])
each_way = pytest.mark.parametrize("run", [run_sync, lambda function: sync_to_async(function)()])


@each_wait
@each_way
def test_nobody_comes_between_what_a_call_has_begun_and_its_end(
    begun: list[str], wait: Wait, run: Callable[..., Any]
) -> None:
    order: list[str] = []

    def call() -> None:
        begun.append("a block")
        order.append("begin")
        wait(others)
        begun.clear()
        order.append("end")

    async def others() -> None:
        beside.set()
        await turns()
        await run_sync(order.append, "of the call")
        await asyncio.create_task(run_sync(order.append, "of its task"))
        await sync_to_async(order.append)("of its function")

    async def other() -> None:
        await beside.wait()
        await run(lambda: order.append("beside"))

    async def main() -> None:
        nonlocal beside
        beside = asyncio.Event()
        await asyncio.gather(run_sync(call), other())

    beside: asyncio.Event
    async_to_sync(main)()
    assert order == ["begin", "of the call", "of its task", "of its function", "end", "beside"]


def test_async_to_sync_keeps_the_thread_in_any_case() -> None:
    """As in Django: code may have put a mark in its thread of which nobody knows."""
    order: list[str] = []

    async def beside_the_call(began: asyncio.Event) -> None:
        await began.wait()
        await run_sync(order.append, "beside")

    async def main() -> None:
        began = asyncio.Event()

        async def wait() -> None:
            began.set()
            await turns()

        def call() -> None:
            async_to_sync(wait)()
            order.append("end")

        await asyncio.gather(run_sync(call), beside_the_call(began))

    async_to_sync(main)()
    assert order == ["end", "beside"]


@each_wait
def test_nothing_waits_in_a_finalizer_of_a_call(begun: list[str], wait: Wait) -> None:
    raised: list[BaseException] = []

    class Finalized:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            try:
                wait(turns)
            except BridgeError as error:
                raised.append(error)

    def call() -> None:
        begun.append("a block")
        Finalized()
        gc.collect()
        begun.clear()

    async_to_sync(run_sync)(call)
    assert ["garbage collector" in str(error) for error in raised] == [True]


def test_what_was_begun_around_a_call_is_not_its_own(begun: list[str]) -> None:
    async def main() -> list[str]:
        event = asyncio.Event()
        loop = asyncio.get_running_loop()
        return await asyncio.gather(
            run_sync(lambda: await_(event.wait()) and "waited"),
            run_sync(lambda: loop.call_soon_threadsafe(event.set) and "let it go on"),
        )

    begun.append("a block of the thread")
    assert async_to_sync(main)() == ["waited", "let it go on"]


def test_blocks_that_others_begin_meanwhile_do_not_stop_what_a_call_awaits(
    begun: list[str],
) -> None:
    order: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def call() -> None:
            begun.append("a block")
            await_(awaited())
            begun.clear()

        async def awaited() -> None:
            beside = asyncio.create_task(block(), context=outside)
            await turns()
            await run_sync(order.append, "of the call")
            inner = await begin_block(loop)
            await run_sync(order.append, "in its block")
            inner.end()
            left.append(beside)

        async def block() -> None:
            opened = await begin_block(loop)
            await run_sync(order.append, "beside")
            opened.end()

        outside = contextvars.copy_context()
        left: list[asyncio.Task[None]] = []
        await run_sync(call)
        await left[0]

    async_to_sync(main)()
    assert order == ["of the call", "in its block", "beside"]


@each_wait
def test_a_cancellation_is_raised_where_a_call_keeps_its_thread(
    begun: list[str], wait: Wait
) -> None:
    seen: list[str] = []
    waits = threading.Event()

    def call() -> None:
        begun.append("a block")
        try:
            wait(sleep)
        except asyncio.CancelledError:
            seen.append("cancelled")
            wait(turns)
            raise
        finally:
            begun.clear()

    async def sleep() -> None:
        waits.set()
        await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(run_sync(call))
        await asyncio.to_thread(waits.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert seen == ["cancelled"]
        assert begun == []

    async_to_sync(main)()


@each_wait
def test_a_cancellation_comes_when_the_thread_is_busy_before_it_waits(
    begun: list[str], wait: Wait
) -> None:
    runs, goes_on = threading.Event(), threading.Event()
    seen: list[str] = []

    def call() -> str:
        begun.append("a block")
        wait(turns)
        runs.set()
        goes_on.wait(10)
        try:
            wait(sleep)
        except asyncio.CancelledError:
            seen.append("cancelled")
        begun.clear()
        wait(turns)
        return "handled"

    async def sleep() -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(run_sync(call))
        await asyncio.to_thread(runs.wait, 10)
        task.cancel()
        await asyncio.sleep(0)
        goes_on.set()
        assert await task == "handled"
        assert seen == ["cancelled"]

    async_to_sync(main)()


def test_functions_of_a_thread_that_a_call_keeps_are_no_part_of_the_call(begun: list[str]) -> None:
    def call() -> None:
        begun.append("a block")
        await_(sync_to_async(function)())
        begun.clear()

    def function() -> int:
        with pytest.raises(BridgeError, match="outside run_sync"):
            await_(asyncio.sleep(0))
        return async_to_sync(run_sync)(threading.get_ident)

    async_to_sync(run_sync)(call)


@pytest.mark.parametrize("error", [LookupError, asyncio.CancelledError])
def test_a_call_whose_wait_fails_goes_on_after_a_block_too(error: type[BaseException]) -> None:
    order: list[str] = []

    async def main() -> None:
        fails = asyncio.get_running_loop().create_future()
        waits = asyncio.Event()
        loop = asyncio.get_running_loop()

        def call() -> None:
            loop.call_soon_threadsafe(waits.set)
            try:
                await_(fails)
            except error:
                order.append("handled")

        task = asyncio.create_task(run_sync(call))
        await waits.wait()
        await turns()
        block = await begin_block(loop)
        if error is LookupError:
            fails.set_exception(LookupError())
        else:
            task.cancel()
        await turns()
        await run_sync(order.append, "in the block")
        task.cancel() if error is not LookupError else None
        await turns()
        order.append("end")
        block.end()
        await task

    async_to_sync(main)()
    assert order == ["in the block", "end", "handled"]
