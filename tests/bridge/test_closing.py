"""Calls whose coroutine is closed while they wait, as when their task is collected."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from django_loom.bridge import await_, current_call, run_sync, suspend
from django_loom.exceptions import BridgeError
from tests.loops import LOOPS, LoopRunner, new_loop

from .tools import Held, Suspended, calls_in_use, echo

name: ContextVar[str] = ContextVar("name")


class Lost:
    """Something that a function has in its frame, to see if the frame is freed."""


def start(function: Callable[..., Any], *args: Any) -> Any:
    """Run a call on the running loop to its first wait, without a task."""
    coroutine = run_sync(function, *args)
    coroutine.send(None)
    return coroutine


def in_thread(function: Callable[[], Any]) -> None:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join()


def test_finally_runs_when_the_coroutine_is_closed(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        function = Suspended()
        start(function).close()
        assert function.log == [GeneratorExit, "finally"]
        assert asyncio.get_running_loop()

    loop_runner(main)
    assert calls_in_use() == []


def test_code_may_run_a_loop_of_its_own_while_it_is_closed(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        log: list[str] = []

        def function() -> None:
            try:
                await_(asyncio.Event().wait())
            finally:
                log.append(asyncio.run(echo("own loop")))

        me = asyncio.current_task()
        start(function).close()
        assert log == ["own loop"]
        assert asyncio.current_task() is me

    loop_runner(main)
    assert calls_in_use() == []


@pytest.mark.parametrize("wait", [await_, suspend])
def test_waiting_while_being_closed_is_refused(
    loop_runner: LoopRunner, wait: Callable[[Any], Any]
) -> None:
    async def main() -> None:
        refused = echo("never runs")

        def function() -> None:
            try:
                await_(asyncio.Event().wait())
            finally:
                wait(refused)

        with pytest.raises(BridgeError, match="is being closed"):
            start(function).close()
        assert inspect.getcoroutinestate(refused) == inspect.CORO_CLOSED

    loop_runner(main)
    assert calls_in_use() == []


def test_every_further_wait_is_refused(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        log: list[type[BaseException]] = []

        def function() -> None:
            for _ in range(4):
                try:
                    await_(echo(None))
                except BaseException as error:
                    log.append(type(error))

        start(function).close()
        assert log == [GeneratorExit, BridgeError, BridgeError, BridgeError]

    loop_runner(main)
    assert calls_in_use() == []


def test_what_a_function_raises_while_being_closed_is_raised_by_close(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        def function() -> None:
            try:
                await_(asyncio.Event().wait())
            except GeneratorExit:
                raise LookupError("lost") from None

        with pytest.raises(LookupError, match="lost"):
            start(function).close()

    loop_runner(main)


def test_a_function_may_return_while_being_closed(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        def function() -> str:
            try:
                await_(asyncio.Event().wait())
            except GeneratorExit:
                return "caught"
            return "not reached"

        start(function).close()
        assert await run_sync(lambda: await_(echo("next"))) == "next"

    loop_runner(main)
    assert calls_in_use() == []


def test_nested_calls_are_closed_from_the_inside(loop_runner: LoopRunner) -> None:
    log: list[str] = []

    async def coroutine() -> None:
        try:
            await run_sync(inner)
        finally:
            log.append("coroutine")

    def inner() -> None:
        try:
            await_(asyncio.Event().wait())
        finally:
            log.append("inner")

    def outer() -> None:
        try:
            await_(coroutine())
        finally:
            log.append("outer")

    async def main() -> None:
        start(outer).close()

    loop_runner(main)
    assert log == ["inner", "coroutine", "outer"]
    assert calls_in_use() == []


def test_a_collected_task_leaves_nothing_behind(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        messages: list[str] = []
        loop.set_exception_handler(lambda loop, context: messages.append(context["message"]))
        log: list[Any] = []
        lost: list[weakref.ref[Lost]] = []

        def function() -> None:
            in_frame = Lost()
            lost.append(weakref.ref(in_frame))
            try:
                await_(loop.create_future())
            finally:
                log.append("finally")
                try:
                    await_(echo("never runs"))
                except BridgeError:
                    log.append("refused")

        task = asyncio.create_task(run_sync(function))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task
        gc.collect()
        assert log == ["finally", "refused"]
        assert lost[0]() is None
        assert messages == ["Task was destroyed but it is pending!"]
        assert calls_in_use() == []

    loop_runner(main)


def test_closing_in_the_midst_of_another_call_does_not_disturb_it(
    loop_runner: LoopRunner,
) -> None:
    # As when the garbage collector starts there.
    async def main() -> None:
        closed = Suspended()
        waiting = start(closed)
        name.set("of the task")

        def function() -> None:
            call = current_call()
            name.set("of the call")
            waiting.close()
            assert current_call() is call
            assert name.get() == "of the call"
            with pytest.raises(RuntimeError, match="no running event loop"):
                asyncio.get_running_loop()
            assert await_(echo("waits")) == "waits"

        await run_sync(function)
        assert closed.log == [GeneratorExit, "finally"]
        assert name.get() == "of the call"

    loop_runner(main)


def test_no_loop_is_visible_to_the_function_while_being_closed(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        def function() -> None:
            try:
                await_(asyncio.Event().wait())
            finally:
                with pytest.raises(RuntimeError, match="no running event loop"):
                    asyncio.get_running_loop()

        start(function).close()
        assert asyncio.get_running_loop()

    loop_runner(main)


def test_the_function_keeps_its_own_context_while_being_closed(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        seen: list[str] = []

        def function() -> None:
            name.set("own")
            try:
                await_(asyncio.Event().wait())
            finally:
                seen.append(name.get())

        async def in_a_task() -> Any:
            return start(function)

        waiting = await asyncio.create_task(in_a_task())
        name.set("other")
        waiting.close()
        assert seen == ["own"]
        assert name.get() == "other"

    loop_runner(main)


def test_a_coroutine_closed_by_another_thread_ends_in_its_own(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        log: list[Any] = []

        def function() -> None:
            current_call().resources = {"held": Held(log)}  # type: ignore[union-attr]
            try:
                suspend(asyncio.Event().wait())
            finally:
                log.append(threading.current_thread())
                with pytest.raises(BridgeError):
                    await_(echo("never runs"))

        in_thread(start(function).close)
        assert log == []  # still held
        await asyncio.sleep(0)
        assert log == [threading.current_thread(), "after_call"]

    loop_runner(main)
    assert calls_in_use() == []


def test_a_function_may_return_while_being_closed_by_another_thread(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        log: list[str] = []

        def function() -> str:
            try:
                await_(asyncio.Event().wait())
            except GeneratorExit:
                log.append("caught")
            return "returned"

        in_thread(start(function).close)
        await asyncio.sleep(0)
        assert log == ["caught"]

    loop_runner(main)
    assert calls_in_use() == []


def test_an_error_while_being_closed_by_another_thread_goes_to_the_loop(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        errors: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: errors.append(context["exception"]))

        def function() -> None:
            try:
                await_(asyncio.Event().wait())
            finally:
                raise LookupError

        in_thread(start(function).close)
        await asyncio.sleep(0)
        assert [type(error) for error in errors] == [LookupError]

    loop_runner(main)


@pytest.mark.parametrize("kind", LOOPS)
def test_what_a_call_holds_is_given_back_though_its_loop_and_thread_are_gone(kind: str) -> None:
    log: list[Any] = []
    waiting: list[Any] = []

    def function() -> None:
        current_call().resources = {"held": Held(log)}  # type: ignore[union-attr]
        suspend(asyncio.Event().wait())

    async def main() -> None:
        waiting.append(start(function))

    def thread() -> None:
        loop = new_loop(kind)
        loop.run_until_complete(main())
        loop.close()

    in_thread(thread)
    waiting.pop().close()
    assert log == ["after_call"]


@pytest.mark.parametrize("kind", LOOPS)
def test_calls_of_a_closed_loop_end_when_their_tasks_are_collected(kind: str) -> None:
    log: list[Any] = []
    loop = new_loop(kind)
    loop.set_exception_handler(lambda loop, context: log.append(context["message"]))
    started = asyncio.Barrier(4)

    def function() -> None:
        await_(started.wait())
        try:
            await_(loop.create_future())
        finally:
            with pytest.raises(BridgeError, match="is being closed"):
                await_(echo("never runs"))
            log.append("finally")

    async def main() -> None:
        for _ in range(3):
            loop.create_task(run_sync(function))
        await started.wait()

    loop.run_until_complete(main())
    loop.close()
    gc.collect()
    assert sorted(log) == ["Task was destroyed but it is pending!"] * 3 + ["finally"] * 3
    assert calls_in_use() == []
