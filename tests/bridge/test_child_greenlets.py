"""A greenlet that code starts inside a call waits as the call itself does."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest
from greenlet import getcurrent, greenlet

from django_loom.bridge import Lock, Waiter, await_, current_call, run_sync, suspend
from django_loom.exceptions import BridgeError
from tests.loops import LoopRunner

from .tools import Suspended, calls_in_use, double, echo, fail

WAITS = pytest.mark.parametrize("wait", [await_, suspend])
Wait = Callable[[Any], Any]

variable: ContextVar[str] = ContextVar("variable")


def in_child(function: Callable[..., Any], *args: Any) -> Any:
    """Run a function to its end in a new greenlet."""
    return greenlet(function).switch(*args)


@WAITS
def test_it_gets_the_value(loop_runner: LoopRunner, wait: Wait) -> None:
    def child() -> list[Any]:
        return [wait(echo(1)), wait(echo(2)), current_call()]

    def function() -> list[Any]:
        one, two, call = in_child(child)
        return [one, two, call is current_call(), wait(echo(3))]

    assert loop_runner(run_sync, function) == [1, 2, True, 3]
    assert calls_in_use() == []


@WAITS
def test_it_gets_the_exception_and_may_pass_it_on(loop_runner: LoopRunner, wait: Wait) -> None:
    def child() -> None:
        with pytest.raises(LookupError):
            wait(fail(LookupError()))
        wait(fail(ValueError("for the call")))

    def function() -> Any:
        with pytest.raises(ValueError, match="for the call"):
            in_child(child)
        return wait(echo("went on"))

    assert loop_runner(run_sync, function) == "went on"
    assert calls_in_use() == []


def test_a_cancellation_is_raised_in_it(loop_runner: LoopRunner) -> None:
    waiting = Suspended()

    def function() -> None:
        try:
            in_child(waiting)
        except asyncio.CancelledError:
            waiting.log.append("call")
            raise

    async def main() -> None:
        task = asyncio.create_task(run_sync(function))
        await waiting.started.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert waiting.log == [asyncio.CancelledError, "finally", "call"]

    loop_runner(main)
    assert calls_in_use() == []


def test_it_may_wait_for_its_cleanup_when_cancelled(loop_runner: LoopRunner) -> None:
    started = asyncio.Event()

    def child() -> Any:
        try:
            started.set()
            await_(asyncio.Event().wait())
        except asyncio.CancelledError:
            return await_(echo("cleaned up"))

    async def main() -> None:
        task = asyncio.create_task(run_sync(in_child, child))
        await started.wait()
        task.cancel()
        assert await task == "cleaned up"

    loop_runner(main)


@WAITS
def test_nested_ones_wait_in_turn(loop_runner: LoopRunner, wait: Wait) -> None:
    def nest(depth: int) -> int:
        before = wait(echo(1))
        inner = in_child(nest, depth - 1) if depth else 0
        return int(before + inner + wait(echo(1)))

    assert loop_runner(run_sync, nest, 5) == 12


def test_it_goes_on_after_others_have_waited(loop_runner: LoopRunner) -> None:
    def function() -> list[Any]:
        call = getcurrent()

        def child(name: str) -> None:
            while True:
                call.switch(await_(echo(name)))

        first, second = greenlet(child), greenlet(child)
        got = [first.switch("first"), await_(echo("call")), second.switch("second")]
        return [*got, first.switch(), second.switch(), double(21)]

    expected = ["first", "call", "second", "first", "second", 42]
    assert loop_runner(run_sync, function) == expected


def test_it_keeps_a_context_of_its_own(loop_runner: LoopRunner) -> None:
    def child() -> list[str]:
        seen = [variable.get("empty")]
        variable.set("child's")
        await_(echo(None))
        return [*seen, variable.get()]

    def function() -> list[str]:
        variable.set("call's")
        return [*in_child(child), variable.get()]

    assert loop_runner(run_sync, function) == ["empty", "child's", "call's"]


def test_it_waits_in_calls_and_loops_below(loop_runner: LoopRunner) -> None:
    def child() -> list[int]:
        return [await_(run_sync(in_child, double, 1)), asyncio.run(run_sync(in_child, double, 2))]

    assert loop_runner(run_sync, in_child, child) == [2, 4]


def test_it_takes_locks_and_waiters(loop_runner: LoopRunner) -> None:
    lock = Lock()

    def hold() -> None:
        with lock:
            await_(echo(None))

    def child() -> None:
        with lock:
            Waiter().wait(0)

    async def main() -> None:
        await asyncio.gather(run_sync(hold), run_sync(in_child, child))
        assert not lock.locked()

    loop_runner(main)


class Failing:
    """A resource that cannot be given back."""

    def before_wait(self) -> None:
        raise LookupError

    def after_call(self) -> None:
        pass


def test_the_call_waits_itself_after_a_child_s_wait_failed_to_begin(
    loop_runner: LoopRunner,
) -> None:
    def child() -> str:
        current_call().resources = {"failing": Failing()}  # type: ignore[union-attr]
        never = echo("never runs")
        with pytest.raises(LookupError):
            await_(never)
        never.close()
        return "child's end"

    def function() -> list[Any]:
        return [in_child(child), suspend(echo("call's wait"))]

    assert loop_runner(run_sync, function) == ["child's end", "call's wait"]


class Waiting:
    """A resource for which the wait must wait."""

    def before_wait(self) -> None:
        suspend(echo(None))

    def after_call(self) -> None:
        pass


def test_what_is_given_back_before_its_wait_may_wait_itself(loop_runner: LoopRunner) -> None:
    def child() -> Any:
        current_call().resources = {"waiting": Waiting()}  # type: ignore[union-attr]
        return await_(echo("child's wait")), "child's end"

    assert loop_runner(run_sync, in_child, child) == ("child's wait", "child's end")


@pytest.mark.parametrize("depth", [1, 3])
def test_it_ends_first_when_the_coroutine_is_closed(loop_runner: LoopRunner, depth: int) -> None:
    log: list[Any] = []

    def nest(depth: int) -> None:
        try:
            if depth:
                in_child(nest, depth - 1)
            else:
                await_(asyncio.Event().wait())
        except GeneratorExit:
            with pytest.raises(BridgeError, match="is being closed"):
                await_(echo("never runs"))
            log.append(depth)
            raise

    async def main() -> None:
        coroutine: Any = run_sync(nest, depth)
        coroutine.send(None)
        coroutine.close()
        assert log == list(range(depth + 1))

    loop_runner(main)
    assert calls_in_use() == []


def test_it_ends_first_when_the_task_is_collected(loop_runner: LoopRunner) -> None:
    log: list[Any] = []

    def child() -> None:
        try:
            await_(asyncio.Future(loop=loops[0]))
        finally:
            log.append("child")

    def function() -> None:
        try:
            in_child(child)
        finally:
            log.append("call")

    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        loops[0].set_exception_handler(lambda *_: None)  # told of the task that is destroyed
        task = asyncio.create_task(run_sync(function))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task
        gc.collect()
        assert log == ["child", "call"]

    loop_runner(main)
    assert calls_in_use() == []
