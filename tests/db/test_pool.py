"""The pool alone, over plain objects: who gets a slot, in which order, and what is counted."""

from __future__ import annotations

import asyncio
import math
import threading
from typing import Any

import pytest
from django.db import OperationalError

from django_loom import run_sync
from django_loom.db.pool_slots import Slot
from django_loom.exceptions import PoolClosed, PoolFull, PoolTimeout
from tests.db.pool_tools import Clock, PlainPool, queue_up
from tests.loops import LoopRunner
from tests.polling import aeventually


def test_the_connection_that_was_used_last_is_used_next() -> None:
    pool = PlainPool()
    slots = [pool.take() for _ in range(3)]
    last = slots[1].connection
    for slot in (slots[0], slots[2], slots[1]):
        pool.release(slot)
    assert pool.use() is last


def test_no_more_than_max_size_are_handed_out(loop_runner: LoopRunner) -> None:
    pool = PlainPool(max_size=3)

    async def main() -> None:
        slots = [pool.take() for _ in range(3)]
        tasks = await queue_up(pool, 5, [])
        assert pool.statistics().size == 3
        for slot in slots:
            pool.release(slot)
        await asyncio.gather(*tasks)
        assert pool.statistics().created == 3

    loop_runner(main)
    pool.assert_whole()


def test_tasks_are_served_in_the_order_in_which_they_came(loop_runner: LoopRunner) -> None:
    pool = PlainPool(max_size=1)
    got: list[int] = []

    async def main() -> None:
        slot = pool.take()
        tasks = await queue_up(pool, 6, got)
        pool.release(slot)
        await asyncio.gather(*tasks)

    loop_runner(main)
    assert got == list(range(6))
    pool.assert_whole()


def test_who_comes_later_does_not_overtake_who_was_granted_a_slot(loop_runner: LoopRunner) -> None:
    pool = PlainPool(max_size=1)
    got: list[int] = []

    async def main() -> None:
        slot = pool.take()
        tasks = await queue_up(pool, 1, got)
        pool.release(slot)  # granted, but the task has not run since
        late = asyncio.create_task(run_sync(lambda: (pool.use(), got.append(99))))
        await asyncio.gather(*tasks, late)

    loop_runner(main)
    assert got == [0, 99]


def test_threads_and_tasks_stand_in_one_queue(loop_runner: LoopRunner) -> None:
    pool = PlainPool(max_size=1)
    got: list[str] = []

    def take_and_give(name: str) -> None:
        slot = pool.take()
        got.append(name)
        pool.release(slot)

    async def main() -> None:
        slot = pool.take()
        waiting: list[Any] = []
        for place, kind in enumerate(["thread", "task", "thread", "task", "task", "thread"]):
            name = f"{kind} {place}"
            call = asyncio.to_thread if kind == "thread" else run_sync
            waiting.append(asyncio.create_task(call(take_and_give, name)))
            await aeventually(lambda place=place: pool.statistics().pending_requests == place + 1)
        pool.release(slot)
        await asyncio.gather(*waiting)

    loop_runner(main)
    assert got == ["thread 0", "task 1", "thread 2", "task 3", "task 4", "thread 5"]
    pool.assert_whole()


def test_several_loops_and_threads_share_a_pool_without_losing_a_slot(
    loop_runner: LoopRunner,
) -> None:
    pool = PlainPool(max_size=3)
    users: set[Slot] = set()

    def use() -> None:
        slot = pool.take()
        assert slot not in users
        users.add(slot)
        users.discard(slot)
        pool.release(slot)

    async def on_loop() -> None:
        for _ in range(20):
            await asyncio.gather(*(run_sync(use) for _ in range(10)))

    def in_thread() -> None:
        for _ in range(200):
            use()

    def other_loop() -> None:
        asyncio.run(on_loop())

    threads = [threading.Thread(target=f) for f in (in_thread, other_loop) * 3]
    for thread in threads:
        thread.start()
    loop_runner(on_loop)
    for thread in threads:
        thread.join()
    assert pool.statistics().uses == 6 // 2 * (200 + 200) + 200
    assert pool.statistics().created <= 3
    pool.assert_whole()


# The wait ends without a slot.


def test_a_task_that_waits_too_long_gets_an_error_with_the_figures(loop_runner: LoopRunner) -> None:
    pool = PlainPool(max_size=1, timeout=0.01)

    async def main() -> None:
        slot = pool.take()
        with pytest.raises(PoolTimeout) as caught:
            await run_sync(pool.take)
        message = str(caught.value)
        assert "No connection to database 'plain' became free within 0.01 s" in message
        assert "OPTIONS['pool']['timeout']" in message
        assert "The pool has 1 of 1 connections in use, 0 idle, 0 callers waiting" in message
        pool.release(slot)

    loop_runner(main)
    assert issubclass(PoolTimeout, OperationalError)
    assert pool.statistics().timeouts == 1
    pool.assert_whole()


def test_a_thread_that_waits_too_long_gets_the_same_error() -> None:
    pool = PlainPool(max_size=1, timeout=0.01)
    slot = pool.take()
    with pytest.raises(PoolTimeout, match=r"became free within 0\.01 s"):
        pool.take()
    pool.release(slot)
    pool.assert_whole()


def test_no_more_than_max_waiting_may_wait(loop_runner: LoopRunner) -> None:
    pool = PlainPool(max_size=1, max_waiting=2)

    async def main() -> None:
        slot = pool.take()
        tasks = await queue_up(pool, 2, [])
        with pytest.raises(PoolFull, match=r"2 callers wait .*\['max_waiting'\] allows.*1 of 1"):
            await run_sync(pool.take)
        assert pool.statistics().refused == 1
        pool.release(slot)
        await asyncio.gather(*tasks)

    loop_runner(main)
    pool.assert_whole()


def test_a_task_that_is_cancelled_leaves_the_queue(loop_runner: LoopRunner) -> None:
    pool = PlainPool(max_size=1)
    got: list[int] = []

    async def main() -> None:
        slot = pool.take()
        tasks = await queue_up(pool, 3, got)
        tasks[1].cancel()
        await asyncio.wait([tasks[1]])
        assert tasks[1].cancelled()
        assert pool.statistics().pending_requests == 2
        pool.release(slot)
        await asyncio.gather(tasks[0], tasks[2])

    loop_runner(main)
    assert got == [0, 2]
    pool.assert_whole()


@pytest.mark.parametrize("timeout", [math.inf, 1e300])
def test_a_timeout_may_be_as_long_as_it_likes(loop_runner: LoopRunner, timeout: float) -> None:
    pool = PlainPool(max_size=1, timeout=timeout)
    got: list[int] = []

    async def main() -> None:
        slot = pool.take()
        tasks = await queue_up(pool, 1, got)
        thread = asyncio.create_task(asyncio.to_thread(pool.use))
        await aeventually(lambda: pool.statistics().pending_requests == 2)
        pool.release(slot)
        await asyncio.gather(*tasks, thread)

    loop_runner(main)
    assert got == [0]
    pool.assert_whole()


# Without a wait.


def test_a_free_slot_is_taken_without_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    pool = PlainPool(max_size=1, max_lifetime=100)
    connection = pool.use()
    slot = pool.acquire_nowait()
    assert slot is not None
    assert slot.connection is connection
    assert slot.holder is not None
    pool.release(slot)
    clock.now += 101
    slot = pool.acquire_nowait()
    assert slot is not None
    assert slot.connection is None
    assert pool.closed == [connection]
    pool.discard(slot)
    pool.assert_whole()


def test_without_a_free_slot_there_is_none() -> None:
    pool = PlainPool(max_size=2)
    slots = [pool.acquire_nowait(), pool.acquire_nowait()]
    assert pool.acquire_nowait() is None
    figures = pool.statistics()
    assert (figures.used, figures.pending_requests, figures.timeouts) == (2, 0, 0)
    for slot in slots:
        assert slot is not None
        pool.discard(slot)
    pool.assert_whole()


def test_who_does_not_wait_does_not_overtake_who_was_granted_a_slot(
    loop_runner: LoopRunner,
) -> None:
    pool = PlainPool(max_size=1)
    got: list[int] = []

    async def main() -> None:
        slot = pool.take()
        tasks = await queue_up(pool, 1, got)
        pool.release(slot)  # granted, but the task has not run since
        assert pool.acquire_nowait() is None
        await asyncio.gather(*tasks)

    loop_runner(main)
    assert got == [0]


def test_a_closed_pool_has_none_to_take_without_a_wait() -> None:
    pool = PlainPool()
    pool.close()
    with pytest.raises(PoolClosed):
        pool.acquire_nowait()


# Figures.


def test_statistics(monkeypatch: pytest.MonkeyPatch, loop_runner: LoopRunner) -> None:
    clock = Clock(monkeypatch)
    pool = PlainPool(min_size=1, max_size=2)

    async def main() -> None:
        slots = [pool.take(), pool.take()]
        tasks = await queue_up(pool, 1, [])
        figures = pool.statistics()
        assert (figures.size, figures.used, figures.idle, figures.pending_requests) == (2, 2, 0, 1)
        clock.now += 3
        pool.release(slots[0])
        await asyncio.gather(*tasks)
        pool.discard(slots[1])

    loop_runner(main)
    figures = pool.statistics()
    assert (figures.size, figures.used, figures.idle, figures.pending_requests) == (1, 0, 1, 0)
    assert (figures.created, figures.lost, figures.create_time) == (2, 1, 1.0)
    assert (figures.waits, figures.wait_time) == (1, 3.0)
    assert (figures.uses, figures.use_time) == (3, 6.0)


def test_a_connection_closed_on_purpose_is_not_lost() -> None:
    pool = PlainPool()
    pool.discard(pool.take(), lost=False)
    assert pool.statistics().lost == 0
    pool.discard(pool.take())
    assert pool.statistics().lost == 1
    slot = pool.take()
    pool.close()
    pool.release(slot)
    assert len(pool.closed) == 3
    assert pool.statistics().lost == 1


def test_who_is_granted_a_slot_has_it_from_then_on(
    monkeypatch: pytest.MonkeyPatch, loop_runner: LoopRunner
) -> None:
    clock = Clock(monkeypatch)
    pool = PlainPool(max_size=1)

    async def main() -> None:
        slot = pool.take()
        (task,) = await queue_up(pool, 1, [])
        clock.now += 60
        pool.release(slot)  # granted, but the task has not run since
        clock.now += 2
        assert slot.describe_holder() == "held for 2.0 s by a caller just woken"
        task.cancel()
        await asyncio.wait([task])
        assert pool.statistics().use_time == 60 + 2

    loop_runner(main)
    pool.assert_whole()


def test_pins_are_counted() -> None:
    pool = PlainPool()
    pool.pin_began()
    pool.pin_began()
    pool.pin_ended()
    assert pool.statistics().pinned == 1
    assert pool.statistics().as_metrics()["db.client.connection.count.pinned"] == 1


def test_figures_have_opentelemetrys_names() -> None:
    pool = PlainPool(min_size=1, max_size=2)
    slot = pool.take()
    metrics = pool.statistics().as_metrics()
    pool.release(slot)
    # The metrics of OpenTelemetry's "Database client metrics"; ours beside them are named alike.
    assert {
        "db.client.connection.count.idle": 0,
        "db.client.connection.count.used": 1,
        "db.client.connection.idle.min": 1,
        "db.client.connection.max": 2,
        "db.client.connection.pending_requests": 0,
        "db.client.connection.timeouts": 0,
        "db.client.connection.create_time": 0.5,
        "db.client.connection.wait_time": 0.0,
        "db.client.connection.use_time": 0.0,
    }.items() <= metrics.items()
