"""Synchronous code of async code that a thread runs by async_to_sync(): it is the thread's."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async

from django_loom import await_, run_sync
from django_loom.bridge import (
    begin_block,
    current_unit,
    thread_blocks,
    unit_of_work,
    waiting_threads,
)
from django_loom.exceptions import BridgeError, TransactionBusy

from .tools import Suspended, fail, turns

color: contextvars.ContextVar[str] = contextvars.ContextVar("color")
local = threading.local()


def ident_after_a_wait() -> tuple[int, int]:
    before = threading.get_ident()
    await_(asyncio.sleep(0))
    return before, threading.get_ident()


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


# A thread stays for what it can't leave to anybody.


def run_in_thread_of(loop_code: Callable[[], Any]) -> Any:
    """asyncio.run() → sync_to_async() → async_to_sync(), which goes back to the same loop."""

    async def main() -> Any:
        return await sync_to_async(lambda: (threading.get_ident(), async_to_sync(loop_code)()))()

    return main()


def test_a_thread_stays_until_the_calls_that_it_has_put_aside_have_ended() -> None:
    idents: list[int] = []
    order: list[str] = []

    async def main() -> None:
        loop, returned, call = asyncio.get_running_loop(), asyncio.Event(), Suspended()

        async def start() -> None:
            tasks.append(loop.create_task(run_sync(thread_call)))
            await call.started.wait()
            returned.set()

        def thread_call() -> None:
            idents.append(threading.get_ident())
            started = call.started
            loop.call_soon_threadsafe(started.set)
            await_(call.gate.wait())
            idents.append(threading.get_ident())
            order.append("call")

        async def let_go() -> None:
            await returned.wait()
            await turns()
            assert await run_sync(threading.get_ident) == threading.get_ident()
            call.gate.set()

        tasks = [loop.create_task(let_go())]
        ident, _ = await run_in_thread_of(start)
        order.append("thread")
        await asyncio.gather(*tasks)
        assert idents == [ident, ident]

    asyncio.run(main())
    assert order == ["call", "thread"]


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_thread_stays_until_the_blocks_in_it_have_ended(is_cancelled: bool) -> None:
    order: list[str] = []

    async def main() -> None:
        loop, returned = asyncio.get_running_loop(), asyncio.Event()

        async def block() -> None:
            opened = await begin_block(loop)
            await returned.wait()
            await turns()
            idents.append(await run_sync(threading.get_ident))
            order.append("block")
            opened.end()

        async def start() -> None:
            tasks.append(loop.create_task(block()))
            idents.append(await run_sync(threading.get_ident))
            returned.set()

        async def ends() -> None:
            await run_in_thread_of(start)

        idents: list[int] = []
        tasks: list[asyncio.Task[None]] = []
        task = loop.create_task(ends())
        await returned.wait()
        if is_cancelled:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await task
        order.append("thread")
        await tasks[0]
        assert len(set(idents)) == 1

    asyncio.run(main())
    assert order == ["block", "thread"]


def test_a_task_that_outlives_an_inner_wait_is_the_threads_while_that_waits_around_it() -> None:
    async def outer() -> bool:
        goes_on = asyncio.Event()
        tasks: list[asyncio.Task[int]] = []

        async def task() -> int:
            await goes_on.wait()
            return await run_sync(threading.get_ident)

        async def start() -> None:
            tasks.append(asyncio.create_task(task()))

        ident = await run_sync(lambda: async_to_sync(start)() or threading.get_ident())
        goes_on.set()
        return await tasks[0] == ident

    assert asyncio.run(run_in_thread_of(outer))[1]


# A thread that goes on beyond its unit still waits for what its code awaits.


@pytest.mark.parametrize("has_loop", [True, False], ids=["its loop", "a new loop"])
def test_async_code_of_a_thread_that_outlives_its_unit_is_the_threads(has_loop: bool) -> None:
    begun, unit_ended = threading.Event(), threading.Event()

    def function() -> Any:
        begun.set()
        unit_ended.wait(10)
        return threading.get_ident(), current_unit(), async_to_sync(of_thread)()

    async def of_thread() -> Any:
        return await run_sync(ident_after_a_wait), await run_sync(current_unit)

    async def main() -> None:
        run = sync_to_async(function) if has_loop else partial(asyncio.to_thread, function)
        with unit_of_work() as unit:
            task = asyncio.create_task(run())
            await asyncio.to_thread(begun.wait, 10)
        unit_ended.set()
        ident, of_function, (idents, of_call) = await task
        assert set(idents) == {ident}
        assert of_function is of_call is unit

    asyncio.run(main())


def test_a_unit_may_end_in_the_midst_of_async_code_that_a_thread_waits_for() -> None:
    async def main() -> None:
        begun, unit_ended = asyncio.Event(), asyncio.Event()

        async def of_thread() -> Any:
            on_loop = await run_sync(threading.get_ident)
            begun.set()
            await unit_ended.wait()
            return on_loop, await run_sync(threading.get_ident)

        with unit_of_work():
            task = asyncio.create_task(run_in_thread_of(of_thread))
            await begun.wait()
        unit_ended.set()
        ident, idents = await task
        assert idents == (threading.get_ident(), ident)

    asyncio.run(main())


def test_a_task_that_outlives_unit_and_thread_goes_on_on_the_loop() -> None:
    async def main() -> None:
        goes_on = asyncio.Event()

        async def task() -> tuple[int, Any]:
            await goes_on.wait()
            return await run_sync(threading.get_ident), await run_sync(current_unit)

        async def start() -> asyncio.Task[tuple[int, Any]]:
            return asyncio.create_task(task())

        with unit_of_work() as unit:
            _, left = await run_in_thread_of(start)
        goes_on.set()
        ident, of_call = await left
        assert ident == threading.get_ident()
        assert of_call is not unit

    asyncio.run(main())
