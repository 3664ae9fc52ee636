"""Two things in the same moment: a slot is granted, and who waits for it is gone."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from django_loom import run_sync
from tests.db.pool_tools import PlainPool, queue_up
from tests.loops import LoopRunner
from tests.polling import eventually

# Two things in the same moment.


@pytest.mark.parametrize("give_back", ["release", "discard"])
@pytest.mark.parametrize("first", ["grant", "cancel"])
def test_a_slot_granted_to_a_task_that_is_cancelled_is_not_lost(
    loop_runner: LoopRunner, give_back: str, first: str
) -> None:
    pool = PlainPool(max_size=1)
    got: list[int] = []

    async def main() -> None:
        slot = pool.take()
        tasks = await queue_up(pool, 2, got)
        # No turn of the loop between these two.
        if first == "grant":
            getattr(pool, give_back)(slot)
            tasks[0].cancel()
        else:
            tasks[0].cancel()
            getattr(pool, give_back)(slot)
        await asyncio.wait(tasks)
        assert tasks[0].cancelled()

    loop_runner(main)
    assert got == [1]
    pool.assert_whole()


@pytest.mark.parametrize("give_back", ["release", "discard"])
def test_a_slot_granted_in_the_moment_of_the_timeout_is_taken(
    loop_runner: LoopRunner, give_back: str
) -> None:
    pool = PlainPool(max_size=1)
    got: list[int] = []

    async def main() -> None:
        slot = pool.take()
        (task,) = await queue_up(pool, 1, got)
        # The timer went off, and the task has not run since.
        pool._state.queue.requests[0]._finish()
        getattr(pool, give_back)(slot)
        await task

    loop_runner(main)
    assert got == [0]
    assert pool.statistics().timeouts == 0
    pool.assert_whole()


def test_a_slot_granted_to_a_task_that_times_out_and_is_cancelled_is_not_lost(
    loop_runner: LoopRunner,
) -> None:
    pool = PlainPool(max_size=1)

    async def main() -> None:
        slot = pool.take()
        (task,) = await queue_up(pool, 1, [])
        pool._state.queue.requests[0]._finish()
        pool.release(slot)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    loop_runner(main)
    pool.assert_whole()


@pytest.mark.parametrize("give_back", ["release", "discard"])
def test_a_slot_for_which_only_a_task_of_a_closed_loop_waits_is_free(give_back: str) -> None:
    pool = PlainPool(max_size=1)
    slot = pool.take()
    loop = asyncio.new_event_loop()
    task = loop.create_task(run_sync(pool.take))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    getattr(pool, give_back)(slot)
    pool.assert_whole()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    coroutine: Any = task.get_coro()
    coroutine.close()
    pool.assert_whole()


def test_a_slot_is_not_given_to_a_task_whose_loop_is_closed() -> None:
    pool = PlainPool(max_size=1)
    slot = pool.take()
    abandoned = asyncio.new_event_loop()
    task = abandoned.create_task(run_sync(pool.take))
    abandoned.run_until_complete(asyncio.sleep(0))
    abandoned.close()
    assert pool.statistics().pending_requests == 1

    thread = threading.Thread(target=pool.use)
    thread.start()
    eventually(lambda: pool.statistics().pending_requests == 2)
    pool.release(slot)
    thread.join(10)
    assert not thread.is_alive()
    pool.assert_whole()
    # When the task ends after all, it has nothing to give back.
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    coroutine: Any = task.get_coro()
    coroutine.close()
    pool.assert_whole()
