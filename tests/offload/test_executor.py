"""Executor: a function's way to a thread and back, from coroutines, run_sync() and threads."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import traceback
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from django_loom import await_, run_sync
from django_loom.bridge import current_call
from django_loom.offload import Executor, Flow, ThreadStatistics
from tests.loops import LoopRunner, new_loop
from tests.polling import aeventually, eventually

from .tools import WAYS, Gate, made, turns

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Any:
    return WAYS[request.param]


@pytest.fixture(params=["coroutine", "run_sync"])
def whole_way(request: pytest.FixtureRequest) -> Any:
    """Those with context, leases and async_to_sync()."""
    return WAYS[request.param]


def test_a_function_runs_in_a_thread_with_its_arguments(loop_runner: LoopRunner) -> None:
    def function(*args: Any, **kwargs: Any) -> Any:
        assert current_call() is None
        return args, kwargs, threading.current_thread().name

    async def main() -> None:
        with made() as executor:
            expected = (1,), {"b": 2}, "django_loom-tests_0"
            assert await executor.run(function, 1, b=2) == expected
            assert await executor.run_bare(function, 1, b=2) == expected
            assert await run_sync(executor.call, function, 1, b=2) == expected

    loop_runner(main)


def test_the_loop_goes_on_meanwhile(loop_runner: LoopRunner, way: Any) -> None:
    async def main() -> None:
        gate = Gate("result")
        with made() as executor:
            task = asyncio.create_task(way(executor, gate))
            await aeventually(gate.begun.is_set)
            gate.open.set()
            assert await task == "result"
            assert executor.statistics() == ThreadStatistics(1, 0, 0, 0, uses=1)

    loop_runner(main)


def test_exceptions_come_with_their_traceback(loop_runner: LoopRunner, way: Any) -> None:
    def raising() -> None:
        raise KeyError("mine")

    async def main() -> None:
        with made() as executor:
            with pytest.raises(KeyError, match="mine") as caught:
                await way(executor, raising)
            assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "raising"
            assert executor.statistics().used == 0

    loop_runner(main)


@pytest.mark.parametrize("until_done", [False, True])
def test_cancelled_before_it_begins_it_leaves_the_queue(
    loop_runner: LoopRunner, way: Any, until_done: bool
) -> None:
    async def main() -> None:
        first, second = Gate(), Gate()
        with made(until_done=until_done) as executor:
            running = asyncio.create_task(way(executor, first))
            await aeventually(first.begun.is_set)
            waiting = asyncio.create_task(way(executor, second))
            await turns()
            assert executor.statistics().pending_requests == 1
            waiting.cancel()
            await asyncio.wait([waiting])
            assert waiting.cancelled()
            assert executor.statistics() == ThreadStatistics(1, 1, 0, 0, uses=2)
            first.open.set()
            await running
            await way(executor, int)
            assert not second.begun.is_set()

    loop_runner(main)


@pytest.mark.parametrize("result", [None, KeyError("lost")])
def test_cancelled_while_it_runs_it_is_waited_for(
    loop_runner: LoopRunner, way: Any, result: Any
) -> None:
    async def main() -> None:
        gate = Gate(result)
        with made() as executor:
            running = asyncio.create_task(way(executor, gate))
            await aeventually(gate.begun.is_set)
            running.cancel()
            await turns()
            assert not running.done()
            assert executor.statistics().used == 1
            gate.open.set()
            await asyncio.wait([running])
            assert running.cancelled()
            assert gate.ended.is_set()
            assert executor.statistics().used == 0

    loop_runner(main)


def test_a_second_cancellation_ends_the_wait(loop_runner: LoopRunner, way: Any) -> None:
    async def main() -> None:
        gate = Gate()
        with made() as executor:
            running = asyncio.create_task(way(executor, gate))
            await aeventually(gate.begun.is_set)
            for _ in range(2):
                assert not running.done()
                running.cancel()
                await turns()
            assert running.cancelled()
            assert not gate.ended.is_set()
            assert executor.statistics().used == 1  # still, and nobody else gets the thread
            gate.open.set()
            await aeventually(gate.ended.is_set)
            assert await way(executor, int) == 0

    loop_runner(main)


def test_until_done_no_number_of_cancellations_ends_the_wait(
    loop_runner: LoopRunner, way: Any
) -> None:
    async def main() -> None:
        gate = Gate()
        with made(until_done=True) as executor:
            running = asyncio.create_task(way(executor, gate))
            await aeventually(gate.begun.is_set)
            for _ in range(3):
                running.cancel()
                await turns()
            assert not running.done()
            gate.open.set()
            await asyncio.wait([running])
            assert running.cancelled()
            assert gate.ended.is_set()

    loop_runner(main)


def test_cancelled_when_it_has_just_ended(loop_runner: LoopRunner, way: Any) -> None:
    async def main() -> None:
        gate = Gate("result")
        with made() as executor:
            running = asyncio.create_task(way(executor, gate))
            await aeventually(gate.begun.is_set)
            gate.open.set()
            eventually(lambda: executor.statistics().used == 0)  # and the loop has not run since
            running.cancel()
            await asyncio.wait([running])
            assert running.cancelled()

    loop_runner(main)


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_was_handed_over_is_done_though_the_loop_is_closed(
    kind: str, way: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """As with Python's own executors: nobody has given it up."""
    gates = [Gate(), Gate()]
    tasks: list[asyncio.Task[Any]] = []
    with made() as executor:

        async def begin() -> None:
            tasks.extend(asyncio.create_task(way(executor, gate)) for gate in gates)
            await aeventually(gates[0].begun.is_set)
            await turns()

        loop = new_loop(kind)
        loop.set_exception_handler(lambda *args: None)  # "Task was destroyed"
        loop.run_until_complete(begin())
        loop.close()
        for gate in gates:
            gate.open.set()
        eventually(lambda: executor.statistics().used == 0)
        assert all(gate.ended.is_set() for gate in gates)
        loop = new_loop(kind)
        assert loop.run_until_complete(executor.run(int)) == 0
        loop.close()
    # Which Python logs for any executor.
    assert all("exception calling callback" in record.message for record in caplog.records)


def test_plain_code_does_its_work_where_it_is() -> None:
    with made() as executor:
        assert executor.call(threading.current_thread) is threading.current_thread()
        with pytest.raises(ZeroDivisionError):
            executor.call(divmod, 1, 0)
        assert executor.statistics().uses == 0


def test_a_thread_does_further_work_where_it_is(loop_runner: LoopRunner) -> None:
    """One that waited for its own executor might wait for ever."""

    async def main() -> None:
        with made() as executor:
            here = threading.current_thread
            assert await executor.run(lambda: executor.call(here) is here())

    loop_runner(main)


def test_async_code_of_a_plain_thread_may_use_it_too() -> None:
    with made() as executor:
        assert async_to_sync(executor.run)(int, "7") == 7
        with pytest.raises(ZeroDivisionError):
            async_to_sync(executor.run)(divmod, 1, 0)


def test_context_variables_go_both_ways(loop_runner: LoopRunner, whole_way: Any) -> None:
    def function() -> str:
        seen = variable.get()
        variable.set("of the thread")
        return seen

    async def main() -> None:
        with made() as executor:
            variable.set("of the caller")
            assert await whole_way(executor, function) == "of the caller"
            assert variable.get() == "of the thread"

    loop_runner(main)


def test_what_runs_bare_is_in_no_context(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        with made() as executor:
            variable.set("of the caller")
            assert await executor.run_bare(variable.get, "none") == "none"

    loop_runner(main)


def test_async_to_sync_runs_on_the_callers_loop(loop_runner: LoopRunner, whole_way: Any) -> None:
    async def inner() -> Any:
        await asyncio.sleep(0)
        return asyncio.get_running_loop(), threading.get_ident()

    async def main() -> None:
        with made() as executor:
            here = asyncio.get_running_loop(), threading.get_ident()
            assert await whole_way(executor, async_to_sync(inner)) == here

    loop_runner(main)


def test_a_cancellation_reaches_async_code_of_the_function(
    loop_runner: LoopRunner, whole_way: Any
) -> None:
    begun, seen = threading.Event(), []

    async def inner() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def main() -> None:
        with made() as executor:
            running = asyncio.create_task(whole_way(executor, async_to_sync(inner)))
            await aeventually(begun.is_set)
            running.cancel()
            await asyncio.wait([running])
            assert running.cancelled()
            assert seen == ["cancelled"]

    loop_runner(main)


def test_leases_are_entered_around_each_function_in_its_thread(loop_runner: LoopRunner) -> None:
    events: list[tuple[str, int]] = []

    @contextmanager
    def leases() -> Iterator[None]:
        events.append(("enter", threading.get_ident()))
        try:
            yield
        finally:
            events.append(("leave", threading.get_ident()))

    def function(fails: bool) -> None:
        events.append(("run", threading.get_ident()))
        if fails:
            raise KeyError

    async def main() -> None:
        with made(leases=leases) as executor:
            await executor.run(function, False)
            with pytest.raises(KeyError):
                await executor.run(function, True)

    loop_runner(main)
    assert [name for name, _ in events] == ["enter", "run", "leave"] * 2
    assert len({thread for _, thread in events}) == 1


def test_a_function_is_let_go_within_its_leases(loop_runner: LoopRunner) -> None:
    """What it alone keeps, as a request, may have a destructor that uses the database."""
    alive: list[bool] = []

    class Request:
        def view(self) -> None: ...

    @contextmanager
    def leases() -> Iterator[None]:
        yield
        alive.append(request() is not None)

    held = [Request()]
    request = weakref.ref(held[0])
    flow = Flow(held.pop().view, leases)
    flow()
    assert alive == [False]

    async def main(executor: Executor) -> None:
        await executor.run(held.pop().view)

    with made(leases=leases) as executor:
        held.append(Request())
        request = weakref.ref(held[0])
        loop_runner(main, executor)
    assert alive[1:] == [False]


@pytest.mark.parametrize("ended", ["cancelled", "freed", "failed", "done"])
def test_nothing_is_kept_of_what_has_ended(loop_runner: LoopRunner, way: Any, ended: str) -> None:
    """While the thread is busy, and when it is idle."""

    class Request:
        def view(self) -> Any:
            if ended == "failed":
                raise KeyError
            return self

    async def main() -> None:
        gate = Gate()
        with made() as executor:
            running = asyncio.create_task(way(executor, gate))
            await aeventually(gate.begun.is_set)
            request = Request()
            kept = weakref.ref(request)
            waiting = asyncio.create_task(way(executor, request.view))
            del request
            await turns()
            if ended == "cancelled":
                waiting.cancel()
                await asyncio.wait([waiting])
            elif ended == "freed":
                coroutine = executor.run(kept().view)  # type: ignore[union-attr]
                waiting.cancel()
                await asyncio.wait([waiting])
                coroutine.send(None)
                assert executor.statistics().pending_requests == 1
                coroutine.close()
                assert executor.statistics().pending_requests == 0
                del coroutine
            else:
                gate.open.set()
                await asyncio.wait([running, waiting])
                assert (waiting.exception() is None) == (ended == "done")
            del waiting
            # asgiref's own future is in the traceback of its exception.
            await aeventually(lambda: (gc.collect() if ended == "failed" else 0, kept())[1] is None)
            gate.open.set()
            await running

    loop_runner(main)


def test_many_cancellations_at_any_moment(loop_runner: LoopRunner) -> None:
    """Each function that began has ended when its caller goes on, and the figures are exact."""
    running = set()

    def function(number: int) -> None:
        running.add(number)
        running.remove(number)

    async def main() -> None:
        with made(2) as executor:

            async def one(number: int) -> None:
                try:
                    await executor.run(function, number)
                finally:
                    assert number not in running

            for number in range(500):
                tasks = [asyncio.create_task(one(3 * number + other)) for other in range(3)]
                await turns(number % 7)
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
            await aeventually(lambda: executor.statistics().used == 0)
            assert executor.statistics().pending_requests == 0

    loop_runner(main)


def test_a_function_may_wait_in_the_loop_for_what_another_thread_does(
    loop_runner: LoopRunner,
) -> None:
    """The work of two executors does not meet."""

    async def main() -> None:
        gate = Gate("late")
        with made() as first, made() as second:
            running = asyncio.create_task(first.run(gate))
            await aeventually(gate.begun.is_set)

            def opens() -> Any:
                second.call(gate.open.set)
                return await_(running)

            assert await run_sync(opens) == "late"

    loop_runner(main)
