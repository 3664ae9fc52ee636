"""ViewThreads: an executor with a bounded queue, which refuses what is too much."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from django_loom.exceptions import ThreadsBusy
from django_loom.http.view_threads import ThreadUse, ViewThreads
from django_loom.offload import ThreadStatistics
from tests.loops import LoopRunner
from tests.offload.tools import Gate, turns
from tests.polling import aeventually


@contextmanager
def view_threads(threads: int = 1, queue: int = 10, **options: Any) -> Iterator[ViewThreads]:
    it = ViewThreads(threads, queue, **options)
    yield it
    it.close()


@pytest.mark.parametrize(("use", "name"), [(use, use.name.lower()) for use in ThreadUse])
def test_a_function_runs_in_a_thread_with_its_arguments(
    loop_runner: LoopRunner, use: ThreadUse, name: str
) -> None:
    def function(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs, threading.current_thread().name

    async def main() -> None:
        with view_threads(of_what=use) as threads:
            found = await threads.run(function, 1, refusable=True, b=2)
            assert found == ((1,), {"b": 2}, f"django_loom-{name}_0")

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


def test_clients_that_come_and_go_leave_nothing_in_the_queue(loop_runner: LoopRunner) -> None:
    """Neither is anybody refused for their sake, nor does the queue grow."""

    async def main() -> None:
        gate = Gate()
        with view_threads(1, 5) as threads:
            running = asyncio.create_task(threads.run(gate))
            await aeventually(gate.begun.is_set)
            for _ in range(50):
                leaving = [asyncio.create_task(threads.run(int)) for _ in range(5)]
                await turns()
                assert threads.statistics().pending_requests == 5
                for task in leaving:
                    task.cancel()
                await asyncio.wait(leaving)
                assert threads.statistics().pending_requests == 0
            assert threads.statistics().refused == 0
            gate.open.set()
            await running

    loop_runner(main)


def test_a_thread_that_its_caller_has_left_counts_as_used(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        gate = Gate()
        with view_threads(1, 0) as threads:
            running = asyncio.create_task(threads.run(gate))
            await aeventually(gate.begun.is_set)
            for _ in range(2):
                running.cancel()
                await turns()
            assert running.cancelled()
            with pytest.raises(ThreadsBusy):
                await threads.run(int)
            gate.open.set()
            await aeventually(lambda: threads.statistics().used == 0)
            assert await threads.run(int) == 0

    loop_runner(main)


def test_no_thread_is_made_before_it_is_needed(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        before = threading.active_count()
        with view_threads(5):
            assert threading.active_count() <= before

    loop_runner(main)


def test_leases_are_entered_around_each_function(loop_runner: LoopRunner) -> None:
    events: list[str] = []

    @contextmanager
    def leases() -> Iterator[None]:
        events.append("enter")
        yield
        events.append("leave")

    async def main() -> None:
        with view_threads(leases=leases) as threads:
            await threads.run(events.append, "run")

    loop_runner(main)
    assert events == ["enter", "run", "leave"]


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
            await turns()
            threads.close()
            gate.open.set()
            assert await running == "result"
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert not queued.begun.is_set()

    loop_runner(main)
