"""Cancellation is raised in synchronous code where it waits, and only there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from django_loom.bridge import await_, run_sync
from tests.loops import LoopRunner

from .tools import Suspended, calls_in_use, echo, fail


def test_a_task_cancelled_before_it_starts_never_runs_the_function() -> None:
    # Not with eager tasks: they have started when create_task() returns.
    async def main() -> None:
        ran: list[int] = []
        task = asyncio.create_task(run_sync(ran.append, 1))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ran == []

    asyncio.run(main())


def test_cancellation_is_raised_at_the_wait(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        function = Suspended()
        task = asyncio.create_task(run_sync(function))
        await function.started.wait()
        task.cancel("the reason")
        with pytest.raises(asyncio.CancelledError, match="the reason"):
            await task
        assert task.cancelled()
        assert function.log == [asyncio.CancelledError, "finally"]

    loop_runner(main)
    assert calls_in_use() == []


def test_cancellation_in_the_synchronous_part_is_raised_at_the_next_wait(
    loop_runner: LoopRunner,
) -> None:
    log: list[str] = []

    def function(task: asyncio.Task[Any]) -> None:
        await_(asyncio.sleep(0))
        task.cancel()
        log.append("ran on")
        try:
            await_(asyncio.sleep(0))
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await run_sync(function, asyncio.current_task())
        asyncio.current_task().uncancel()  # type: ignore[union-attr]

    loop_runner(main)
    assert log == ["ran on", "cancelled"]


def test_cancellation_after_the_last_wait_is_for_the_awaiting_task(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        function = Suspended(then=task.cancel)
        function.gate.set()
        assert await run_sync(function) is True
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(0)
        task.uncancel()

    loop_runner(main)


def test_cancellation_beats_a_result_that_came_in_the_same_moment(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        function = Suspended()
        task = asyncio.create_task(run_sync(function))
        await function.started.wait()
        function.gate.set()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert function.log == [asyncio.CancelledError, "finally"]

    loop_runner(main)


def test_finally_may_wait_again(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        log: list[Any] = []
        started = asyncio.Event()

        def function() -> None:
            try:
                started.set()
                await_(asyncio.Event().wait())
            finally:
                log.append(await_(echo("first")))
                log.append(await_(echo("second")))

        task = asyncio.create_task(run_sync(function))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["first", "second"]

    loop_runner(main)
    assert calls_in_use() == []


def test_a_second_cancellation_is_raised_where_finally_waits(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        log: list[str] = []
        started, in_finally = asyncio.Event(), asyncio.Event()

        def function() -> None:
            try:
                started.set()
                await_(asyncio.Event().wait())
            finally:
                try:
                    in_finally.set()
                    await_(asyncio.Event().wait())
                except asyncio.CancelledError as error:
                    log.append(str(error))
                    raise
                finally:
                    log.append(await_(echo("still waits")))

        task = asyncio.create_task(run_sync(function))
        await started.wait()
        task.cancel("first")
        await in_finally.wait()
        task.cancel("second")
        with pytest.raises(asyncio.CancelledError, match="second"):
            await task
        assert log == ["second", "still waits"]

    loop_runner(main)
    assert calls_in_use() == []


def test_a_function_may_catch_its_cancellation_and_return(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        started = asyncio.Event()

        def function() -> Any:
            try:
                started.set()
                await_(asyncio.Event().wait())
            except asyncio.CancelledError:
                return await_(echo("caught"))

        task = asyncio.create_task(run_sync(function))
        await started.wait()
        task.cancel()
        assert await task == "caught"
        assert not task.cancelled()

    loop_runner(main)


def test_another_exception_may_take_the_place_of_the_cancellation(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        started = asyncio.Event()

        def function() -> None:
            try:
                started.set()
                await_(asyncio.Event().wait())
            finally:
                await_(fail(LookupError("rollback failed")))

        task = asyncio.create_task(run_sync(function))
        await started.wait()
        task.cancel()
        with pytest.raises(LookupError, match="rollback failed"):
            await task

    loop_runner(main)


def test_cancellation_unwinds_nested_calls_from_the_inside(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        log: list[str] = []
        started = asyncio.Event()

        async def coroutine(depth: int) -> None:
            try:
                if depth == 3:
                    started.set()
                    await asyncio.Event().wait()
                await run_sync(function, depth + 1)
            finally:
                await asyncio.sleep(0)
                log.append(f"coroutine {depth}")

        def function(depth: int) -> None:
            try:
                await_(coroutine(depth))
            finally:
                await_(asyncio.sleep(0))
                log.append(f"function {depth}")

        task = asyncio.create_task(run_sync(function, 1))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == [
            f"{side} {depth}" for depth in (3, 2, 1) for side in ("coroutine", "function")
        ]

    loop_runner(main)


def test_a_task_that_is_awaited_inside_is_cancelled_with_its_waiter(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        inner = asyncio.create_task(asyncio.Event().wait())
        started = asyncio.Event()

        def function() -> None:
            started.set()
            await_(inner)

        task = asyncio.create_task(run_sync(function))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert inner.cancelled()

    loop_runner(main)


def test_a_shielded_task_goes_on_without_its_waiter(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        gate, started = asyncio.Event(), asyncio.Event()
        inner = asyncio.create_task(gate.wait())

        async def shielded() -> bool:
            return await asyncio.shield(inner)

        def function() -> None:
            started.set()
            await_(shielded())

        task = asyncio.create_task(run_sync(function))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.set()
        assert await inner is True

    loop_runner(main)


def test_a_timeout_around_the_call_ends_its_wait(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        function = Suspended()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await run_sync(function)
        assert function.log == [asyncio.CancelledError, "finally"]
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]

    loop_runner(main)


def test_a_timeout_below_is_an_error_that_the_function_can_catch(
    loop_runner: LoopRunner,
) -> None:
    async def wait_in_vain() -> None:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    def function() -> Any:
        with pytest.raises(TimeoutError):
            await_(wait_in_vain())
        with pytest.raises(TimeoutError):
            await_(asyncio.wait_for(asyncio.Event().wait(), 0))
        return await_(echo("went on"))

    assert loop_runner(run_sync, function) == "went on"


def test_a_failure_in_a_task_group_cancels_the_calls_in_it(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        function = Suspended()

        async def fail_later() -> None:
            await function.started.wait()
            raise LookupError

        async def in_group() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(run_sync(function))
                group.create_task(fail_later())

        with pytest.raises(ExceptionGroup) as caught:
            await in_group()
        assert [type(error) for error in caught.value.exceptions] == [LookupError]
        assert function.log == [asyncio.CancelledError, "finally"]

    loop_runner(main)


def test_calls_run_in_a_task_group_that_is_awaited_from_a_call(loop_runner: LoopRunner) -> None:
    async def group_below() -> list[Any]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run_sync(lambda n=n: await_(echo(n)))) for n in range(5)]
        return [task.result() for task in tasks]

    def function() -> list[Any]:
        return await_(group_below())

    assert loop_runner(run_sync, function) == [0, 1, 2, 3, 4]


def test_the_end_of_the_loop_cancels_calls_that_still_wait(loop_runner: LoopRunner) -> None:
    log: list[Any] = []

    async def main() -> None:
        started = asyncio.Event()

        def function() -> None:
            try:
                started.set()
                await_(asyncio.Event().wait())
            finally:
                log.append(await_(echo("cleaned up")))

        log.append(asyncio.create_task(run_sync(function)))
        await started.wait()

    loop_runner(main)
    assert log[1:] == ["cleaned up"]
    assert log[0].cancelled()
