"""ViewThreads: the bound, the queue, cancellation in every moment of a function's way."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import traceback
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from django_loom.exceptions import ThreadsBusy
from django_loom.http.view_threads import ThreadStatistics, ViewThreads, _Job
from tests.loops import LoopRunner
from tests.polling import aeventually

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")


class Gate:
    """A function that says when it has begun, and ends when it is let."""

    def __init__(self, result: Any = None) -> None:
        self.begun, self.open, self.ended = [threading.Event() for _ in range(3)]
        self.result = result

    def __call__(self) -> Any:
        self.begun.set()
        assert self.open.wait(30)
        self.ended.set()
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@contextmanager
def view_threads(threads: int = 1, queue: int = 10, **options: Any) -> Iterator[ViewThreads]:
    it = ViewThreads(threads, queue, **options)
    yield it
    it.close()


def test_a_function_runs_in_a_thread_with_its_arguments(loop_runner: LoopRunner) -> None:
    def function(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs, threading.current_thread().name

    async def main() -> None:
        with view_threads() as threads:
            args, kwargs, name = await threads.run(function, 1, refusable=True, b=2)
            assert (args, kwargs) == ((1,), {"b": 2})
            assert name.startswith("django_loom")

    loop_runner(main)


def test_threads_are_bounded_and_the_queue_too(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        gates = [Gate(number) for number in range(5)]
        with view_threads(2, 3) as threads:
            running = [asyncio.create_task(threads.run(gate)) for gate in gates]
            await aeventually(lambda: gates[0].begun.is_set() and gates[1].begun.is_set())
            assert threads.statistics() == ThreadStatistics(
                max=2, used=2, pending_requests=3, refused=0, uses=5
            )
            with pytest.raises(ThreadsBusy, match=r"All 2 threads .* 3 requests wait"):
                await threads.run(int)
            assert threads.statistics().refused == 1
            finishing = asyncio.create_task(threads.run(int, refusable=False))
            assert [gate.begun.is_set() for gate in gates] == [True, True, False, False, False]
            for gate in gates:
                gate.open.set()
            assert await asyncio.gather(*running, finishing) == [0, 1, 2, 3, 4, 0]
            assert threads.statistics() == ThreadStatistics(2, 0, 0, refused=1, uses=6)

    loop_runner(main)


def test_no_thread_is_made_before_it_is_needed(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        before = threading.active_count()
        with view_threads(5):
            assert threading.active_count() <= before

    loop_runner(main)


def test_exceptions_come_with_their_traceback(loop_runner: LoopRunner) -> None:
    def raising() -> None:
        raise KeyError("mine")

    async def main() -> None:
        with view_threads() as threads:
            with pytest.raises(KeyError, match="mine") as caught:
                await threads.run(raising)
            assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "raising"
            assert threads.statistics().used == 0

    loop_runner(main)


def test_context_variables_go_both_ways(loop_runner: LoopRunner) -> None:
    def function() -> str:
        seen = variable.get()
        variable.set("of the thread")
        return seen

    async def main() -> None:
        with view_threads() as threads:
            variable.set("of the caller")
            assert await threads.run(function) == "of the caller"
            assert variable.get() == "of the thread"

    loop_runner(main)


def test_async_to_sync_runs_on_the_callers_loop(loop_runner: LoopRunner) -> None:
    async def inner() -> Any:
        await asyncio.sleep(0)
        return asyncio.get_running_loop(), threading.get_ident()

    async def main() -> None:
        with view_threads() as threads:
            here = asyncio.get_running_loop(), threading.get_ident()
            assert await threads.run(async_to_sync(inner)) == here

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
        with view_threads(leases=leases) as threads:
            await threads.run(function, False)
            with pytest.raises(KeyError):
                await threads.run(function, True)

    loop_runner(main)
    assert [name for name, _ in events] == ["enter", "run", "leave"] * 2
    assert len({thread for _, thread in events}) == 1


def test_cancelled_in_the_queue_it_never_runs(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        first, second, third = Gate(), Gate(), Gate()
        with view_threads() as threads:
            running = asyncio.create_task(threads.run(first))
            await aeventually(first.begun.is_set)
            waiting = asyncio.create_task(threads.run(second))
            after = asyncio.create_task(threads.run(third))
            await asyncio.sleep(0)
            assert threads.statistics().pending_requests == 2
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert threads.statistics().pending_requests == 1
            first.open.set()
            third.open.set()
            await asyncio.gather(running, after)
            assert not second.begun.is_set()

    loop_runner(main)


@pytest.mark.parametrize("result", [None, KeyError("lost")])
def test_cancelled_while_it_runs_it_is_waited_for(loop_runner: LoopRunner, result: Any) -> None:
    async def main() -> None:
        gate = Gate(result)
        with view_threads() as threads:
            running = asyncio.create_task(threads.run(gate))
            await aeventually(gate.begun.is_set)
            running.cancel()
            for _ in range(20):
                await asyncio.sleep(0)
            assert not running.done()
            assert threads.statistics().used == 1
            gate.open.set()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert gate.ended.is_set()
            assert threads.statistics().used == 0

    loop_runner(main)


def test_a_second_cancellation_ends_the_wait(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        gate = Gate()
        with view_threads() as threads:
            running = asyncio.create_task(threads.run(gate))
            await aeventually(gate.begun.is_set)
            running.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert not gate.ended.is_set()
            gate.open.set()
            await aeventually(gate.ended.is_set)
            assert await threads.run(int) == 0

    loop_runner(main)


def test_cancelled_when_it_has_just_ended(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        gate = Gate("result")
        with view_threads() as threads:
            running = asyncio.create_task(threads.run(gate))
            await aeventually(gate.begun.is_set)
            gate.open.set()
            gate.ended.wait(30)
            while threads._executor._idle_semaphore._value == 0:  # the thread is done with it
                pass
            running.cancel()  # the loop has not run since
            with pytest.raises(asyncio.CancelledError):
                await running
            assert threads.statistics().used == 0

    loop_runner(main)


class ClaimOnEntry:
    """A lock that calls back when it is about to be taken: the other side comes first."""

    def __init__(self, lock: threading.Lock, before: Any) -> None:
        self._lock = lock
        self._before = before

    def __enter__(self) -> None:
        before, self._before = self._before, None
        if before is not None:
            before()
        self._lock.acquire()

    def __exit__(self, *exc: object) -> None:
        self._lock.release()


def test_given_up_in_the_moment_in_which_the_thread_begins(loop_runner: LoopRunner) -> None:
    """Whichever takes the claim first, the function has not run when the wait is over."""

    async def main() -> None:
        ran = []
        job = _Job(lambda: ran.append(True), nullcontext)
        at_the_lock, go = threading.Event(), threading.Event()

        def wait_there() -> None:
            at_the_lock.set()
            assert go.wait(30)

        job._lock = ClaimOnEntry(job._lock, wait_there)  # type: ignore[assignment]
        with ThreadPoolExecutor(1) as executor:
            in_thread = asyncio.get_running_loop().run_in_executor(executor, job)
            await aeventually(at_the_lock.is_set)
            await job.wait_until_ended()
            go.set()
            assert await in_thread is None
        assert ran == []

    loop_runner(main)


def test_given_up_in_the_moment_in_which_the_thread_ends(loop_runner: LoopRunner) -> None:
    """The wait begins before the thread says that it has ended, and is told of it."""

    async def main() -> None:
        job = _Job(lambda: None, nullcontext)
        at_the_end, go = threading.Event(), threading.Event()

        def function() -> None:
            def wait_there() -> None:
                at_the_end.set()
                assert go.wait(30)

            job._lock = ClaimOnEntry(job._lock, wait_there)  # type: ignore[assignment]

        job._function = function
        with ThreadPoolExecutor(1) as executor:
            in_thread = asyncio.get_running_loop().run_in_executor(executor, job)
            await aeventually(at_the_end.is_set)
            waiting = asyncio.create_task(job.wait_until_ended())
            for _ in range(5):
                await asyncio.sleep(0)
            assert not waiting.done()
            go.set()
            await waiting
            await in_thread
        await job.wait_until_ended()  # and who comes later does not wait

    loop_runner(main)


def test_a_job_that_was_given_up_keeps_nothing(loop_runner: LoopRunner) -> None:
    """Its entry stays in the queue until a thread comes to it, which may take long."""

    class Request:
        pass

    async def main() -> None:
        gate = Gate()
        with view_threads() as threads:
            running = asyncio.create_task(threads.run(gate))
            await aeventually(gate.begun.is_set)
            request = Request()
            kept = weakref.ref(request)
            waiting = asyncio.create_task(threads.run(id, request))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            del request, waiting
            gc.collect()
            assert kept() is None
            gate.open.set()
            await running

    loop_runner(main)


def test_many_cancellations_at_any_moment(loop_runner: LoopRunner) -> None:
    """Each function that began has ended when its caller goes on, and the counts are exact."""
    running = set()

    def function(number: int) -> None:
        running.add(number)
        running.remove(number)

    async def main() -> None:
        with view_threads(2, 100) as threads:

            async def one(number: int) -> None:
                try:
                    await threads.run(function, number)
                finally:
                    assert number not in running

            for number in range(500):
                tasks = [asyncio.create_task(one(3 * number + other)) for other in range(3)]
                for _ in range(number % 7):
                    await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
            assert threads.statistics().used == threads.statistics().pending_requests == 0

    loop_runner(main)


def test_threads_work_again_after_close(loop_runner: LoopRunner) -> None:
    """A process may serve twice, one server after the other: tests do."""

    async def main() -> None:
        with view_threads() as threads:
            assert await threads.run(int) == 0
            threads.close()
            assert await threads.run(int) == 0

    loop_runner(main)


def test_close_lets_what_runs_end(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        gate, queued = Gate("result"), Gate()
        with view_threads() as threads:
            running = asyncio.create_task(threads.run(gate))
            await aeventually(gate.begun.is_set)
            waiting = asyncio.create_task(threads.run(queued))
            await asyncio.sleep(0)
            threads.close()
            gate.open.set()
            assert await running == "result"
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert not queued.begun.is_set()

    loop_runner(main)


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
    job = _Job(held.pop().view, leases)
    job()
    assert alive == [False]

    async def main() -> None:
        with view_threads(leases=leases) as threads:
            await threads.run(int)

    loop_runner(main)
