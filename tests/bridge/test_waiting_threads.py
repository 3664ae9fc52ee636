"""Synchronous code of async code that a thread runs by async_to_sync(): it is the thread's."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async

from django_loom import await_, run_sync
from django_loom.bridge import (
    current_unit,
    thread_blocks,
    unit_of_work,
)
from django_loom.exceptions import BridgeError, TransactionBusy

from .tools import fail, ident_after_a_wait

color: contextvars.ContextVar[str] = contextvars.ContextVar("color")
local = threading.local()


def of_this_thread(function: Callable[..., Any], *args: Any) -> bool:
    """Whether a coroutine function returns this thread's identity, once or more."""
    found = async_to_sync(function)(*args)
    return set(found if isinstance(found, tuple | list) else [found]) == {threading.get_ident()}


def test_it_runs_in_the_thread_that_waits() -> None:
    assert of_this_thread(run_sync, threading.get_ident)
    assert of_this_thread(run_sync, ident_after_a_wait)


def test_tasks_and_callbacks_run_there_too() -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        with_context = asyncio.create_task(run_sync(threading.get_ident))
        without = loop.create_task(run_sync(threading.get_ident), context=contextvars.Context())
        return [await with_context, await without]

    assert of_this_thread(main)


def test_code_of_a_unit_runs_on_the_loop() -> None:
    async def main() -> bool:
        with unit_of_work() as unit:
            assert await run_sync(current_unit) is unit
            return await run_sync(threading.get_ident) == threading.get_ident()

    assert async_to_sync(main)()


def test_a_loop_without_a_thread_that_waits_runs_it_on_the_loop() -> None:
    async def main() -> bool:
        return await run_sync(threading.get_ident) == threading.get_ident()

    assert asyncio.run(main())
    assert async_to_sync(main)() is False
    assert asyncio.run(main())


def test_a_thread_of_async_code_that_waits_for_its_loop_is_meant_too() -> None:
    """asyncio.run() → sync_to_async() → async_to_sync(), which goes back to the same loop."""

    def waits() -> bool:
        return of_this_thread(run_sync, threading.get_ident)

    async def main() -> None:
        assert await sync_to_async(waits)()
        assert await run_sync(threading.get_ident) == threading.get_ident()

    asyncio.run(main())


def test_a_task_that_outlives_the_wait_goes_on_on_the_loop() -> None:
    async def main() -> None:
        goes_on = asyncio.Event()

        async def task() -> int:
            await goes_on.wait()
            return await run_sync(threading.get_ident)

        async def start() -> asyncio.Task[int]:
            return asyncio.create_task(task())

        left = await sync_to_async(lambda: async_to_sync(start)())()
        goes_on.set()
        assert await left == threading.get_ident()

    asyncio.run(main())


def test_a_loop_that_code_of_the_thread_runs_is_no_part_of_it() -> None:
    async def is_on_loop() -> bool:
        return await run_sync(threading.get_ident) == threading.get_ident()

    async def main() -> list[bool]:
        return [
            await run_sync(lambda: asyncio.run(is_on_loop())),
            await sync_to_async(lambda: asyncio.run(is_on_loop()))(),
            await asyncio.to_thread(lambda: asyncio.run(is_on_loop())),
        ]

    assert async_to_sync(main)() == [True, True, True]


def test_locals_are_the_threads() -> None:
    def change() -> str:
        await_(asyncio.sleep(0))
        before: str = local.name
        local.name = "changed"
        return before

    local.name = "set"
    try:
        assert async_to_sync(run_sync)(change) == "set"
        assert local.name == "changed"
    finally:
        del local.name


def test_variables_go_both_ways() -> None:
    def function() -> None:
        token = color.set("of a block")
        await_(asyncio.sleep(0))
        assert color.get() == "of a block"
        color.reset(token)
        assert color.get() == "of the task"
        await_(set_color("of a coroutine below"))
        assert color.get() == "of a coroutine below"
        color.set("of the function")

    async def set_color(value: str) -> None:
        color.set(value)

    async def main() -> None:
        color.set("of the task")
        await run_sync(function)
        assert color.get() == "of the function"

    contextvars.copy_context().run(async_to_sync(main))


def test_no_loop_is_visible_there_and_async_to_sync_awaits_on_the_loop() -> None:
    async def current() -> Any:
        return asyncio.get_running_loop()

    def function() -> Any:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return async_to_sync(current)()

    async def main() -> bool:
        return await run_sync(function) is asyncio.get_running_loop()

    assert async_to_sync(main)()


def test_calls_may_wait_for_each_other() -> None:
    """The first one goes on while the second one waits, and the other way round."""

    async def main() -> list[str]:
        first, second = asyncio.Event(), asyncio.Event()

        def wait_and_set(mine: asyncio.Event, other: asyncio.Event, name: str) -> str:
            for _ in range(3):
                await_(mine.wait())
                mine.clear()
                asyncio_loop.call_soon_threadsafe(other.set)
            return name

        asyncio_loop = asyncio.get_running_loop()
        first.set()
        async with asyncio.timeout(10):
            return await asyncio.gather(
                run_sync(wait_and_set, first, second, "a"),
                run_sync(wait_and_set, second, first, "b"),
            )

    assert async_to_sync(main)() == ["a", "b"]


def test_a_failure_is_raised_with_its_traceback() -> None:
    def function() -> None:
        await_(fail(LookupError("in a coroutine")))

    with pytest.raises(LookupError, match="in a coroutine") as raised:
        async_to_sync(run_sync)(function)
    assert "function" in [entry.name for entry in raised.traceback]


def test_a_failure_of_a_wait_can_be_handled() -> None:
    def function() -> str:
        try:
            await_(fail(LookupError()))
        except LookupError:
            await_(asyncio.sleep(0))
        return "handled"

    assert async_to_sync(run_sync)(function) == "handled"


def test_a_cancellation_is_raised_where_the_function_waits() -> None:
    seen: list[str] = []

    def function() -> None:
        try:
            await_(asyncio.sleep(60))
        except asyncio.CancelledError:
            await_(asyncio.sleep(0))
            seen.append("cancelled")
            raise

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run_sync(function), 0.01)
        assert seen == ["cancelled"]

    async_to_sync(main)()


@pytest.mark.parametrize("waits", [True, False])
def test_a_cancellation_waits_for_what_the_thread_does(waits: bool) -> None:
    begun, goes_on = threading.Event(), threading.Event()
    seen: list[str] = []

    def function() -> None:
        begun.set()
        goes_on.wait(10)
        try:
            if waits:
                await_(asyncio.sleep(60))
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            seen.append("ended")

    async def main() -> None:
        task = asyncio.create_task(run_sync(function))
        await asyncio.to_thread(begun.wait)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert seen == ["cancelled", "ended"][not waits :]

    async_to_sync(main)()


def test_a_call_that_is_cancelled_before_it_begins_never_runs() -> None:
    begun, goes_on = threading.Event(), threading.Event()
    ran: list[int] = []

    def holds_the_thread() -> None:
        begun.set()
        goes_on.wait(10)

    async def main() -> None:
        holding = asyncio.create_task(run_sync(holds_the_thread))
        await asyncio.to_thread(begun.wait)
        task = asyncio.create_task(run_sync(ran.append, 1))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        goes_on.set()
        await holding

    async_to_sync(main)()
    assert ran == []


def test_a_task_that_is_left_at_the_end_is_cancelled_in_the_thread() -> None:
    seen: list[int] = []
    begun = threading.Event()
    tasks: list[asyncio.Task[None]] = []

    def note() -> None:
        seen.append(threading.get_ident())

    def function() -> None:
        begun.set()
        try:
            await_(asyncio.sleep(60))
        finally:
            note()
            await_(asyncio.sleep(0))
            note()

    async def task() -> None:
        try:
            await run_sync(function)
        finally:
            await run_sync(note)

    async def main() -> None:
        tasks.append(asyncio.create_task(task()))
        await asyncio.to_thread(begun.wait)

    async_to_sync(main)()
    assert seen == [threading.get_ident()] * 3


def test_plain_code_outside_run_sync_still_must_not_wait() -> None:
    def function() -> None:
        with pytest.raises(BridgeError, match="outside run_sync"):
            await_(asyncio.sleep(0))

    async_to_sync(sync_to_async(function))()
    function()


def test_nobody_waits_without_end_for_a_block_that_is_still_being_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(thread_blocks, "_TIMEOUT", 0.01)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        block = await asyncio.create_task(thread_blocks.begin_block(loop))
        with pytest.raises(TransactionBusy):
            await asyncio.create_task(thread_blocks.begin_block(loop))
        block.end()

    asyncio.run(main())
