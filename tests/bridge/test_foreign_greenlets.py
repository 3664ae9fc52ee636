"""gevent, SQLAlchemy's asyncio and code with greenlets of its own, in the same process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Generator
from typing import Any

import gevent
import pytest
from greenlet import getcurrent, greenlet
from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.util import await_only, greenlet_spawn

from django_loom.bridge import await_, run_sync
from django_loom.exceptions import BridgeError
from tests.loops import LoopRunner

from .tools import calls_in_use, double, echo


class SteppedInGreenlets:
    """Runs each step of a coroutine in a greenlet of its own."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.coroutine = coroutine

    def __await__(self) -> Generator[Any, None, Any]:
        while True:
            try:
                yield greenlet(self.coroutine.send).switch(None)
            except StopIteration as end:
                return end.value


def sqlalchemy_double(value: int) -> int:
    return 2 * int(await_only(echo(value)))


def test_sqlalchemy_works_below_a_call(loop_runner: LoopRunner) -> None:
    def function() -> int:
        return double(await_(greenlet_spawn(sqlalchemy_double, 1)))

    assert loop_runner(run_sync, function) == 4


def test_a_call_works_below_sqlalchemy(loop_runner: LoopRunner) -> None:
    def function() -> int:
        return sqlalchemy_double(await_only(run_sync(double, 1)))

    assert loop_runner(greenlet_spawn, function) == 4


def test_sqlalchemy_and_calls_nest_in_turn(loop_runner: LoopRunner) -> None:
    def ours(depth: int) -> int:
        return double(1) if depth == 0 else await_(greenlet_spawn(theirs, depth))

    def theirs(depth: int) -> int:
        return sqlalchemy_double(await_only(run_sync(ours, depth - 1)))

    assert loop_runner(run_sync, ours, 5) == 2**6


def test_sqlalchemy_refuses_to_wait_straight_in_a_call(loop_runner: LoopRunner) -> None:
    def function() -> None:
        coroutine = echo(None)
        with pytest.raises(MissingGreenlet):
            await_only(coroutine)
        coroutine.close()

    loop_runner(run_sync, function)


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="new in Python 3.12")
def test_a_task_started_eagerly_in_a_foreign_greenlet_goes_on_in_the_loop_s() -> None:
    greenlets: list[Any] = []

    async def coroutine() -> int:
        greenlets.append(getcurrent())
        result = await run_sync(lambda: double(double(1)))
        greenlets.append(getcurrent())
        return result

    def start() -> asyncio.Task[int]:
        return asyncio.eager_task_factory(asyncio.get_running_loop(), coroutine())  # type: ignore[no-any-return]

    async def main() -> None:
        task = await greenlet_spawn(start)
        assert await task == 4
        assert greenlets[0].dead
        assert greenlets[1] is getcurrent()

    asyncio.run(main())
    assert calls_in_use() == []


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="new in Python 3.12")
def test_a_call_begun_in_a_foreign_greenlet_fails_and_is_cancelled_in_the_loop_s() -> None:
    log: list[type[BaseException]] = []

    def function(error: BaseException | None) -> None:
        try:
            await_(echo(None))
            if error is not None:
                raise error
            await_(asyncio.Event().wait())
        except BaseException as raised:
            log.append(type(raised))
            raise

    def start(error: BaseException | None) -> asyncio.Task[None]:
        return asyncio.eager_task_factory(asyncio.get_running_loop(), run_sync(function, error))  # type: ignore[no-any-return]

    async def main() -> None:
        failing = await greenlet_spawn(start, LookupError())
        cancelled = await greenlet_spawn(start, None)
        with pytest.raises(LookupError):
            await failing
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert log == [LookupError, asyncio.CancelledError]

    asyncio.run(main())
    assert calls_in_use() == []


def test_a_coroutine_is_stepped_from_one_greenlet_after_the_other(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        def function() -> int:
            for _ in range(5):
                await_(asyncio.sleep(0))
            return double(21)

        assert await SteppedInGreenlets(run_sync(function)) == 42

    loop_runner(main)
    assert calls_in_use() == []


@pytest.mark.skipif(
    not (3, 12) <= sys.version_info < (3, 14), reason="new in 3.12, refused from 3.14 on"
)
def test_a_task_started_eagerly_inside_a_call_sees_no_loop_in_its_first_step() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def first_step() -> None:
            with pytest.raises(BridgeError, match="needs a running asyncio event loop"):
                await run_sync(double, 1)

        async def second_step(gate: asyncio.Future[None]) -> int:
            await gate
            return await run_sync(double, 1)

        def function() -> asyncio.Task[int]:
            asyncio.eager_task_factory(loop, first_step())
            gate = loop.create_future()
            task: asyncio.Task[int] = asyncio.eager_task_factory(loop, second_step(gate))
            gate.set_result(None)
            return task

        assert await (await run_sync(function)) == 2

    asyncio.run(main())


@pytest.mark.skipif(sys.version_info < (3, 14), reason="older ones start it without a loop")
def test_a_task_can_not_start_eagerly_inside_a_call() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)  # told of the task that came to nothing
        coroutine = echo(1)

        def function() -> None:
            with pytest.raises(RuntimeError, match="is not the running loop"):
                asyncio.eager_task_factory(loop, coroutine)

        await run_sync(function)
        coroutine.close()

    asyncio.run(main())


def test_code_inside_may_use_greenlets_of_its_own(loop_runner: LoopRunner) -> None:
    def function() -> list[Any]:
        me = getcurrent()

        def child(value: int) -> str:
            while value < 3:
                value = me.switch(value)
            return "child's end"

        other = greenlet(child)
        values = [other.switch(0), await_(echo("waited")), other.switch(1), double(1)]
        return [*values, other.switch(3)]

    assert loop_runner(run_sync, function) == [0, "waited", 1, 2, "child's end"]


def test_a_greenlet_that_outlives_its_call_ends_where_it_was_switched_to(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        def function() -> greenlet:
            me = getcurrent()
            child = greenlet(lambda: me.switch("child waits") and "child's end")
            assert child.switch() == "child waits"
            return child

        child = await run_sync(function)
        assert child.switch(True) == "child's end"
        assert await run_sync(double, 21) == 42

    loop_runner(main)


def test_gevent_can_wait_inside_a_call(loop_runner: LoopRunner) -> None:
    def function() -> list[Any]:
        spawned = gevent.spawn(lambda: gevent.sleep(0) or "spawned")
        gevent.sleep(0)
        return [spawned.get(), await_(echo("waited"))]

    assert loop_runner(run_sync, function) == ["spawned", "waited"]


def test_calls_work_on_a_loop_that_runs_in_a_greenlet_of_gevent(loop_runner: LoopRunner) -> None:
    async def main() -> list[int]:
        return await asyncio.gather(*(run_sync(double, each) for each in range(3)))

    assert gevent.spawn(loop_runner, main).get() == [0, 2, 4]
    assert calls_in_use() == []
