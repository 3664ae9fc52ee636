"""Whoever waits where nothing can be waited for is told what to write instead."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from typing import Any

import gevent
import greenlet
import pytest
from asgiref.sync import async_to_sync
from sqlalchemy.util import greenlet_spawn

from django_loom.bridge import Lock, Waiter, await_, current_call, run_sync, suspend
from django_loom.exceptions import BridgeError, LoomError
from tests.loops import LoopRunner

from .tools import Suspended, echo

WAITS = pytest.mark.parametrize("wait", [await_, suspend])
Wait = Callable[[Any], Any]


def is_refused(wait: Wait, match: str) -> bool:
    """Check the error, and that the coroutine is closed: no "never awaited" follows."""
    coroutine = echo("never runs")
    with pytest.raises(BridgeError, match=match) as caught:
        wait(coroutine)
    assert isinstance(caught.value, LoomError)
    assert isinstance(caught.value, RuntimeError)
    return inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


@WAITS
def test_outside_any_loop(wait: Wait) -> None:
    assert is_refused(wait, r"called outside run_sync\(\).*await django_loom.run_sync\(fn\)")


@WAITS
def test_straight_from_a_coroutine(loop_runner: LoopRunner, wait: Wait) -> None:
    async def main() -> None:
        assert is_refused(wait, "straight from a coroutine. Write `await ...`")

    loop_runner(main)


@WAITS
def test_in_a_coroutine_below_a_call(loop_runner: LoopRunner, wait: Wait) -> None:
    async def below() -> bool:
        return is_refused(wait, "straight from a coroutine")

    assert loop_runner(run_sync, lambda: await_(below()))


@WAITS
def test_in_a_thread_started_inside_a_call(loop_runner: LoopRunner, wait: Wait) -> None:
    refused: list[bool] = []

    def in_thread() -> None:
        refused.append(is_refused(wait, r"called outside run_sync\(\)"))

    def function() -> None:
        thread = threading.Thread(target=in_thread, daemon=True)
        thread.start()
        thread.join()

    loop_runner(run_sync, function)
    assert refused == [True]


@WAITS
def test_in_a_thread_of_the_loop(loop_runner: LoopRunner, wait: Wait) -> None:
    async def main() -> None:
        assert await asyncio.to_thread(is_refused, wait, r"called outside run_sync\(\)")

    loop_runner(main)


@WAITS
def test_in_a_greenlet_outside_any_call(loop_runner: LoopRunner, wait: Wait) -> None:
    async def main() -> None:
        assert greenlet.greenlet(is_refused).switch(wait, "a greenlet that django_loom did not")

    loop_runner(main)


@WAITS
def test_in_a_greenlet_left_over_from_a_call_that_ended(
    loop_runner: LoopRunner, wait: Wait
) -> None:
    async def main() -> None:
        child = await run_sync(greenlet.greenlet, is_refused)
        assert child.switch(wait, "a greenlet that django_loom did not")

    loop_runner(main)


@WAITS
def test_in_a_greenlet_left_over_whose_call_s_greenlet_serves_another_that_waits(
    loop_runner: LoopRunner, wait: Wait
) -> None:
    async def main() -> None:
        child, used = await run_sync(lambda: (greenlet.greenlet(log_refusal), current_call()))
        waiting = Suspended(current_call)
        task = asyncio.create_task(run_sync(waiting))
        await waiting.started.wait()
        # Not by main(): the child returns to its parent, which is the call that waits.
        greenlet.greenlet(child.switch).switch()
        waiting.gate.set()
        assert await task is used
        assert refused == [True]

    def log_refusal() -> None:
        refused.append(is_refused(wait, "a greenlet that django_loom did not"))
        child_waits.switch()

    refused: list[bool] = []
    child_waits = greenlet.getcurrent()
    loop_runner(main)


@WAITS
def test_in_a_coroutine_of_a_loop_that_runs_inside_a_call(
    loop_runner: LoopRunner, wait: Wait
) -> None:
    async def nested() -> bool:
        refused = is_refused(wait, "straight from a coroutine. Write `await ...`")
        await asyncio.sleep(0)  # the loop is there still
        return refused and asyncio.get_running_loop() is not None

    def function() -> Any:
        return asyncio.run(nested()), await_(echo("went on"))

    assert loop_runner(run_sync, function) == (True, "went on")


@WAITS
def test_in_a_greenlet_of_a_coroutine_of_a_loop_inside_a_call(
    loop_runner: LoopRunner, wait: Wait
) -> None:
    async def nested() -> bool:
        return bool(greenlet.greenlet(is_refused).switch(wait, "straight from a coroutine"))

    assert loop_runner(run_sync, lambda: asyncio.run(nested()))


def test_async_to_sync_in_a_coroutine_of_a_loop_inside_a_call(loop_runner: LoopRunner) -> None:
    async def nested() -> None:
        with pytest.raises(RuntimeError, match="same thread as an async event loop"):
            async_to_sync(echo)("never runs")
        await asyncio.sleep(0)

    loop_runner(run_sync, lambda: asyncio.run(nested()))


def test_a_waiter_in_a_coroutine_of_a_loop_inside_a_call(loop_runner: LoopRunner) -> None:
    async def nested() -> None:
        with pytest.raises(BridgeError, match="straight from a coroutine"):
            Waiter().wait()
        await asyncio.sleep(0)

    loop_runner(run_sync, lambda: asyncio.run(nested()))


@WAITS
def test_in_a_greenlet_of_gevent(wait: Wait) -> None:
    assert gevent.spawn(is_refused, wait, "a greenlet that django_loom did not start").get()


@WAITS
def test_in_a_greenlet_of_sqlalchemy(loop_runner: LoopRunner, wait: Wait) -> None:
    async def main() -> None:
        assert await greenlet_spawn(is_refused, wait, "did not start .*SQLAlchemy")

    loop_runner(main)


def test_a_task_given_to_a_refused_wait_goes_on(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        task = asyncio.create_task(echo("result"))
        with pytest.raises(BridgeError):
            await_(task)
        assert await task == "result"

    loop_runner(main)


def test_run_sync_without_a_loop() -> None:
    coroutine = run_sync(print)
    with pytest.raises(BridgeError, match=r"needs a running asyncio event loop.*asyncio.run\(\)"):
        coroutine.send(None)


def test_something_that_cannot_be_awaited(loop_runner: LoopRunner) -> None:
    def function() -> Any:
        with pytest.raises(TypeError, match="int"):
            await_(42)  # type: ignore[arg-type]
        return await_(echo("went on"))

    assert loop_runner(run_sync, function) == "went on"


def test_a_future_of_another_loop(loop_runner: LoopRunner) -> None:
    other = asyncio.new_event_loop()
    future = other.create_future()

    def function() -> Any:
        with pytest.raises(RuntimeError, match="attached to a different loop"):
            await_(future)
        return await_(echo("went on"))

    assert loop_runner(run_sync, function) == "went on"
    other.close()


def test_a_coroutine_that_has_been_awaited_before(loop_runner: LoopRunner) -> None:
    def function() -> Any:
        coroutine = echo("once")
        assert await_(coroutine) == "once"
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await_(coroutine)
        return await_(echo("went on"))

    assert loop_runner(run_sync, function) == "went on"


def test_a_waiter_would_block_a_coroutine_s_loop(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        with pytest.raises(BridgeError, match=r"would block its event loop.*run_sync\(fn\)"):
            Waiter().wait()

    loop_runner(main)


def test_a_held_lock_would_block_a_coroutine_s_loop(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        lock = Lock()
        lock.acquire()
        with pytest.raises(BridgeError, match="would block its event loop"):
            lock.acquire()
        lock.release()
        assert not lock.locked()

    loop_runner(main)
