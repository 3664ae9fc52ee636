"""A Waiter is woken from anywhere, before or after it waits, and once is enough."""

from __future__ import annotations

import asyncio
import math
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from django_loom.bridge import Waiter, await_, run_sync, waiters
from tests.loops import LOOPS, LoopRunner, new_loop

from .tools import calls_in_use, echo


class WatchedWaiter(Waiter):
    __slots__ = ("__weakref__",)


def in_thread(function: Callable[[], Any]) -> None:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join()


def waiting_call(loop: asyncio.AbstractEventLoop) -> tuple[asyncio.Task[str], Waiter]:
    """Start a task on a loop that does not run now; return it and what it waits for."""
    waiters: list[Waiter] = []

    def function() -> str:
        waiters.append(Waiter())
        waiters[0].wait()
        return "woken"

    async def start() -> asyncio.Task[str]:
        task = asyncio.create_task(run_sync(function))
        await asyncio.sleep(0)
        return task

    task = loop.run_until_complete(start())
    return task, waiters[0]


def test_a_call_is_woken_by_a_coroutine(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        waiters: list[Waiter] = []

        def function() -> str:
            waiters.append(Waiter())
            waiters[0].wait()
            return "woken"

        task = asyncio.create_task(run_sync(function))
        await asyncio.sleep(0)
        assert waiters[0].wake()
        assert await task == "woken"

    loop_runner(main)


def test_a_call_is_woken_by_another_call(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        waiters: list[Waiter] = []

        def function() -> str:
            waiters.append(Waiter())
            waiters[0].wait()
            return "woken"

        task = asyncio.create_task(run_sync(function))
        await asyncio.sleep(0)
        assert await run_sync(waiters[0].wake)
        assert await task == "woken"

    loop_runner(main)


@pytest.mark.parametrize("kind", LOOPS)
def test_a_call_is_woken_by_another_thread(kind: str) -> None:
    loop = new_loop(kind)
    task, waiter = waiting_call(loop)
    in_thread(waiter.wake)
    assert loop.run_until_complete(asyncio.wait_for(task, 30)) == "woken"
    loop.close()


@pytest.mark.parametrize("kind", LOOPS)
def test_a_call_is_woken_by_a_loop_in_another_thread(kind: str) -> None:
    loop = new_loop(kind)
    task, waiter = waiting_call(loop)

    async def wake() -> None:
        await run_sync(waiter.wake)

    in_thread(lambda: asyncio.run(wake()))
    assert loop.run_until_complete(asyncio.wait_for(task, 30)) == "woken"
    loop.close()


def test_a_thread_is_woken_by_a_coroutine_and_by_a_call(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        for by_call in (False, True):
            waiters: asyncio.Queue[Waiter] = asyncio.Queue()
            loop = asyncio.get_running_loop()

            def function(
                loop: asyncio.AbstractEventLoop = loop, waiters: asyncio.Queue[Waiter] = waiters
            ) -> str:
                waiter = Waiter()
                loop.call_soon_threadsafe(waiters.put_nowait, waiter)
                waiter.wait()
                return "woken"

            waiting = asyncio.create_task(asyncio.to_thread(function))
            waiter = await waiters.get()
            assert await run_sync(waiter.wake) if by_call else waiter.wake()
            assert await waiting == "woken"

    loop_runner(main)


def wake_then_wait() -> str:
    waiter = Waiter()
    assert waiter.wake()
    waiter.wait()
    waiter.wait()
    return "woken"


def test_a_call_that_is_woken_before_it_waits_does_not_wait(loop_runner: LoopRunner) -> None:
    assert loop_runner(run_sync, wake_then_wait) == "woken"


def test_a_thread_that_is_woken_before_it_waits_does_not_wait() -> None:
    assert wake_then_wait() == "woken"


def test_a_call_woken_by_a_thread_before_it_waits_does_not_wait_for_ever(
    loop_runner: LoopRunner,
) -> None:
    def function() -> str:
        waiter = Waiter()
        in_thread(waiter.wake)
        waiter.wait()
        return "woken"

    assert loop_runner(run_sync, function) == "woken"


def test_a_second_wake_up_does_nothing(loop_runner: LoopRunner) -> None:
    def function() -> Any:
        waiter = Waiter()
        assert waiter.wake()
        assert waiter.wake()
        in_thread(waiter.wake)
        waiter.wait()
        assert waiter.wake()
        return await_(echo("nothing is left over"))

    assert loop_runner(run_sync, function) == "nothing is left over"


def wait_in_vain() -> bool:
    waiter = Waiter()
    waiter.wait(0)
    return waiter.granted


def test_a_wait_ends_after_its_timeout(loop_runner: LoopRunner) -> None:
    assert loop_runner(run_sync, wait_in_vain) is False
    assert wait_in_vain() is False


@pytest.mark.parametrize("timeout", [None, math.inf, 1e300, 2 * threading.TIMEOUT_MAX])
def test_a_timeout_may_be_as_long_as_it_likes(
    loop_runner: LoopRunner, timeout: float | None
) -> None:
    async def main() -> None:
        waiters_: list[Waiter] = []

        def function() -> str:
            waiters_.append(Waiter())
            waiters_[0].wait(timeout)
            return "woken"

        task = asyncio.create_task(run_sync(function))
        await asyncio.sleep(0)
        assert waiters_[0].wake()
        assert await task == "woken"

    loop_runner(main)


@pytest.mark.parametrize("timeout", [None, math.inf, 1e300, 2 * threading.TIMEOUT_MAX])
def test_a_timeout_may_be_so_in_a_thread_which_may_wait_again(
    monkeypatch: pytest.MonkeyPatch, timeout: float | None
) -> None:
    done: list[bool] = []

    def function() -> None:
        waiter = Waiter()
        # Asked for right before the thread blocks.
        monkeypatch.setattr(waiters, "is_collecting", lambda: not waiter.wake())
        waiter.wait(timeout)
        monkeypatch.undo()
        waiter.wait()
        done.append(True)

    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(10)
    assert done == [True]


def test_a_timeout_below_0_is_over_at_once(loop_runner: LoopRunner) -> None:
    def function() -> bool:
        waiter = Waiter()
        waiter.wait(-5)
        return waiter.granted

    assert loop_runner(run_sync, function) is False
    assert function() is False


def test_the_collector_may_wake_it_in_the_midst_of_its_wait() -> None:
    """As if it started at each line of the wait, in the thread that waits."""
    done: list[bool] = []

    def function() -> None:
        waiter = Waiter()

        def trace(frame: Any, event: str, argument: Any) -> Any:
            sys.settrace(None)
            waiter.wake()
            sys.settrace(trace)
            return trace

        sys.settrace(trace)
        try:
            waiter.wait()
        finally:
            sys.settrace(None)
        done.append(True)

    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(10)
    assert done == [True], "the thread waits for ever"


def test_a_wake_up_after_the_timeout_does_nothing(loop_runner: LoopRunner) -> None:
    def function() -> Any:
        waiter = Waiter()
        waiter.wait(0)
        assert waiter.wake()
        return await_(echo("nothing is left over"))

    assert loop_runner(run_sync, function) == "nothing is left over"


def test_a_wait_that_ended_leaves_no_timer(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        def function() -> weakref.ref[Waiter]:
            waiter = WatchedWaiter()
            waiter.wake()
            waiter.wait(3600)
            return weakref.ref(waiter)

        gone = await run_sync(function)
        assert gone() is None

    loop_runner(main)


def test_a_cancelled_wait_can_be_woken(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        waiters: list[Waiter] = []

        def function() -> None:
            waiters.append(Waiter())
            waiters[0].wait(3600)

        task = asyncio.create_task(run_sync(function))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert waiters[0].wake()

    loop_runner(main)


@pytest.mark.parametrize("kind", LOOPS)
@pytest.mark.parametrize("by_thread", [False, True])
def test_waking_tells_that_the_loop_is_closed(kind: str, by_thread: bool) -> None:
    loop = new_loop(kind)
    task, waiter = waiting_call(loop)
    loop.close()
    woken: list[bool] = []
    wake = lambda: woken.append(waiter.wake())  # noqa: E731
    in_thread(wake) if by_thread else wake()
    assert woken == [False]
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    task.get_coro().close()  # type: ignore[union-attr]
    assert calls_in_use() == []


@pytest.mark.parametrize("kind", LOOPS)
def test_a_call_being_closed_may_wake_another_of_its_closed_loop(kind: str) -> None:
    loop = new_loop(kind)
    task, waiter = waiting_call(loop)
    woken: list[bool] = []

    def function() -> None:
        try:
            await_(asyncio.Event().wait())
        finally:
            woken.append(waiter.wake())

    async def start() -> Any:
        coroutine = run_sync(function)
        coroutine.send(None)
        return coroutine

    waking = loop.run_until_complete(start())
    loop.close()
    waking.close()
    assert woken == [False]
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    task.get_coro().close()  # type: ignore[union-attr]
    assert calls_in_use() == []
