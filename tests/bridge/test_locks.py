"""The Lock: one holder at a time, first come first served, never lost."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from django_loom.bridge import Lock, Waiter, await_, locks, run_sync
from django_loom.exceptions import BridgeError
from tests.loops import LOOPS, LoopRunner, new_loop

from .tools import calls_in_use, echo


def in_thread(function: Callable[[], Any]) -> None:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join()


class Counter:
    """Counts wrongly unless one party at a time counts."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.value = self.inside = 0

    def count(self, wait: Callable[[], Any]) -> None:
        with self.lock:
            self.inside += 1
            assert self.inside == 1
            value = self.value
            wait()
            self.value = value + 1
            self.inside -= 1


def test_calls_exclude_each_other_across_waits(loop_runner: LoopRunner) -> None:
    counter = Counter()

    def function() -> None:
        for _ in range(10):
            counter.count(lambda: await_(asyncio.sleep(0)))

    async def main() -> None:
        await asyncio.gather(*(run_sync(function) for _ in range(20)))

    loop_runner(main)
    assert counter.value == 200
    assert not counter.lock.locked()


def test_threads_and_calls_of_several_loops_exclude_each_other(loop_runner: LoopRunner) -> None:
    counter = Counter()

    def in_call() -> None:
        for _ in range(20):
            counter.count(lambda: await_(asyncio.sleep(0)))

    async def main() -> None:
        await asyncio.gather(*(run_sync(in_call) for _ in range(5)))

    def in_plain_thread() -> None:
        for _ in range(100):
            counter.count(lambda: time.sleep(0))

    threads = [threading.Thread(target=in_plain_thread, daemon=True) for _ in range(2)]
    threads.append(threading.Thread(target=lambda: asyncio.run(main()), daemon=True))
    for thread in threads:
        thread.start()
    loop_runner(main)
    for thread in threads:
        thread.join()
    assert counter.value == 400
    assert not counter.lock.locked()


def test_who_came_first_gets_it_first(loop_runner: LoopRunner) -> None:
    lock = Lock()
    order: list[int] = []

    def function(number: int) -> None:
        with lock:
            order.append(number)
            await_(asyncio.sleep(0))

    async def main() -> None:
        await asyncio.gather(*(run_sync(function, each) for each in range(10)))

    loop_runner(main)
    assert order == list(range(10))


def test_nobody_overtakes_who_waits(loop_runner: LoopRunner) -> None:
    lock = Lock()
    order: list[str] = []

    async def main() -> None:
        def waiting() -> None:
            with lock:
                order.append("who waited")

        def holding() -> None:
            lock.acquire()
            await_(asyncio.sleep(0))
            lock.release()
            with lock:
                order.append("who released it")

        await asyncio.gather(run_sync(holding), run_sync(waiting))

    loop_runner(main)
    assert order == ["who waited", "who released it"]


def test_it_is_released_when_the_block_fails() -> None:
    lock = Lock()
    with pytest.raises(LookupError), lock:
        raise LookupError
    assert not lock.locked()


class Waiting:
    """A held lock, and a task that waits for it."""

    def __init__(self, timeout: float | None = None) -> None:
        self.lock = Lock()
        self.lock.acquire()
        self.timeout = timeout
        self.started = 0
        self.got = False

    def __call__(self) -> bool:
        self.started += 1
        self.got = self.lock.acquire(self.timeout)
        return self.got

    async def start(self) -> asyncio.Task[bool]:
        started = self.started
        task = asyncio.create_task(run_sync(self))
        if self.started == started:  # else tasks are eager
            await asyncio.sleep(0)
        return task


def test_a_cancelled_wait_leaves_the_queue(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        waiting = Waiting()
        first, second = await waiting.start(), await waiting.start()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert waiting.lock.locked()
        waiting.lock.release()
        assert await second is True
        waiting.lock.release()
        assert not waiting.lock.locked()

    loop_runner(main)


@pytest.mark.parametrize("by_thread", [False, True])
def test_a_wait_cancelled_as_it_gets_the_lock_gives_it_back(
    loop_runner: LoopRunner, by_thread: bool
) -> None:
    async def main() -> None:
        waiting = Waiting()
        task = await waiting.start()
        in_thread(waiting.lock.release) if by_thread else waiting.lock.release()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not waiting.got
        assert not waiting.lock.locked()

    loop_runner(main)


def test_a_wait_cancelled_as_it_gets_the_lock_passes_it_on(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        waiting = Waiting()
        first, second = await waiting.start(), await waiting.start()
        waiting.lock.release()
        first.cancel()
        assert await second is True
        assert first.cancelled()

    loop_runner(main)


@pytest.mark.parametrize("ready", [False, True])
def test_a_call_closed_in_its_wait_leaves_the_lock_to_others(
    loop_runner: LoopRunner, ready: bool
) -> None:
    async def main() -> None:
        waiting = Waiting()
        coroutine: Any = run_sync(waiting)
        coroutine.send(None)
        if ready:
            waiting.lock.release()
            coroutine.close()
        else:
            coroutine.close()
            waiting.lock.release()
        assert not waiting.lock.locked()

    loop_runner(main)


def test_a_wait_ends_after_its_timeout(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        waiting = Waiting(timeout=0)
        assert await run_sync(waiting) is False
        waiting.lock.release()
        assert not waiting.lock.locked()
        assert await run_sync(waiting) is True

    loop_runner(main)


def test_a_thread_s_wait_ends_after_its_timeout() -> None:
    lock = Lock()
    lock.acquire()
    assert lock.acquire(0) is False
    lock.release()
    assert not lock.locked()


def test_a_lock_that_comes_together_with_the_timeout_is_taken(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        waiting = Waiting(timeout=0)
        task = await waiting.start()
        # Due right after the timer of acquire(), before the call goes on.
        asyncio.get_running_loop().call_later(0, waiting.lock.release)
        assert await task is True
        assert waiting.lock.locked()

    loop_runner(main)


def waiting_task(loop: asyncio.AbstractEventLoop, waiting: Waiting) -> asyncio.Task[bool]:
    task = loop.run_until_complete(waiting.start())
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    return task


@pytest.mark.parametrize("kind", LOOPS)
def test_who_waits_on_a_closed_loop_is_passed_over(kind: str) -> None:
    waiting = Waiting()
    closed, open_ = new_loop(kind), new_loop(kind)
    lost, task = waiting_task(closed, waiting), waiting_task(open_, waiting)
    closed.close()
    waiting.lock.release()
    assert open_.run_until_complete(asyncio.wait_for(task, 30)) is True
    waiting.lock.release()
    assert not waiting.lock.locked()
    lost.get_coro().close()  # type: ignore[union-attr]
    assert not waiting.lock.locked()
    open_.close()
    assert calls_in_use() == []


@pytest.mark.parametrize("kind", LOOPS)
def test_a_loop_closed_as_its_call_gets_the_lock_does_not_keep_it(kind: str) -> None:
    waiting = Waiting()
    loop = new_loop(kind)
    task = waiting_task(loop, waiting)
    waiting.lock.release()
    loop.close()
    task.get_coro().close()  # type: ignore[union-attr]
    assert not waiting.lock.locked()
    assert calls_in_use() == []


@pytest.mark.parametrize("kind", LOOPS)
def test_calls_of_a_closed_loop_release_it_for_each_other(kind: str) -> None:
    waiting = Waiting()
    loop = new_loop(kind)

    def holder() -> None:
        try:
            await_(asyncio.Event().wait())
        finally:
            waiting.lock.release()

    async def start() -> Any:
        coroutine = run_sync(holder)
        coroutine.send(None)
        return coroutine

    holding = loop.run_until_complete(start())
    task = waiting_task(loop, waiting)
    loop.close()
    holding.close()
    task.get_coro().close()  # type: ignore[union-attr]
    assert not waiting.lock.locked()
    assert calls_in_use() == []


def test_the_collector_may_release_it_in_the_midst_of_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lock = Lock()

    class CollectingWaiter(Waiter):
        """Making one starts the garbage collector, which finds the lock's holder."""

        __slots__ = ()

        def __init__(self) -> None:
            super().__init__()
            lock.release()

    monkeypatch.setattr(locks, "Waiter", CollectingWaiter)
    lock.acquire()
    assert lock.acquire() is True
    with lock._guard:
        lock.release()
    assert not lock.locked()


@pytest.mark.parametrize("woken", [True, False], ids=["open", "closed"])
def test_the_collector_may_end_who_gets_it_in_that_moment(
    loop_runner: LoopRunner, monkeypatch: pytest.MonkeyPatch, woken: bool
) -> None:
    """The lock goes on to the next, and to one only, also if the loop is closed meanwhile."""

    async def main() -> None:
        waiting = Waiting()
        coroutine: Any = run_sync(waiting)
        coroutine.send(None)
        second = await waiting.start()
        wake = Waiter.wake

        def wake_and_collect(waiter: Waiter) -> bool:
            monkeypatch.setattr(Waiter, "wake", wake)
            coroutine.close()
            return woken

        monkeypatch.setattr(Waiter, "wake", wake_and_collect)
        waiting.lock.release()
        assert waiting.lock.locked()
        assert await second is True
        assert waiting.lock.locked()
        waiting.lock.release()
        assert not waiting.lock.locked()

    loop_runner(main)


def test_a_call_being_closed_takes_a_free_lock_and_does_not_wait_for_a_held_one(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        log: list[Any] = []
        lock = Lock()

        def function() -> None:
            try:
                await_(asyncio.Event().wait())
            finally:
                log.append(lock.acquire())
                with pytest.raises(BridgeError, match="being closed"):
                    lock.acquire()
                lock.release()

        coroutine: Any = run_sync(function)
        coroutine.send(None)
        coroutine.close()
        assert log == [True]
        assert not lock.locked()
        assert await run_sync(lambda: await_(echo("next"))) == "next"

    loop_runner(main)
