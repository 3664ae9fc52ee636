"""What the garbage collector may do in a pool's midst, in the thread that holds its lock."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

from django_loom import run_sync
from django_loom.bridge import Waiter
from django_loom.db import pool_queue
from django_loom.db.pool_slots import Slot
from django_loom.exceptions import BridgeError, PoolTimeout
from tests.db.pool_tools import PlainPool
from tests.loops import LoopRunner
from tests.polling import eventually


@pytest.mark.parametrize("fit", [True, False], ids=["released", "discarded"])
def test_a_slot_that_comes_back_while_a_caller_queues_up_is_handed_to_it(
    monkeypatch: pytest.MonkeyPatch, fit: bool
) -> None:
    """As if the collector ran just when the waiter is made, in the thread that holds the lock."""
    pool = PlainPool(max_size=1)
    slot = pool.take()

    class CollectingWaiter(pool_queue.PoolRequest):
        def __init__(self) -> None:
            super().__init__()
            (pool.release if fit else pool.discard)(slot)

    monkeypatch.setattr(pool_queue, "PoolRequest", CollectingWaiter)
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(pool.acquire()), daemon=True)
    thread.start()
    thread.join(10)
    assert len(got) == 1, "the caller waits for ever"
    assert (got[0].connection is None) is not fit
    assert pool.statistics().used == 1
    assert pool.statistics().pending_requests == 0


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_slot_that_comes_back_while_an_error_lists_the_holders(
    monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """As if the collector ran between two of them, or in the midst of one."""
    pool = PlainPool(max_size=3, timeout=0)
    slots = [pool.take() for _ in range(3)]
    describe_holder = Slot.describe_holder

    def collect() -> None:
        if slots:
            pool.release(slots.pop())

    def describe_and_collect(slot: Slot) -> str:
        if when == "before":
            collect()
        text = describe_holder(slot)
        collect()
        return text

    monkeypatch.setattr(Slot, "describe_holder", describe_and_collect)
    with pytest.raises(PoolTimeout, match="Held by:\n  - held for"):
        pool.acquire()
    while slots:
        pool.release(slots.pop())
    pool.assert_whole()


@pytest.mark.parametrize("woken", [True, False], ids=["open", "closed"])
@pytest.mark.parametrize("fit", [True, False], ids=["released", "discarded"])
def test_a_call_that_ends_in_the_moment_in_which_it_gets_a_slot(
    loop_runner: LoopRunner, monkeypatch: pytest.MonkeyPatch, fit: bool, woken: bool
) -> None:
    """As if the collector found its task just then; also if its loop is closed meanwhile."""
    pool = PlainPool(max_size=1)

    async def main() -> None:
        slot = pool.take()
        coroutine: Any = run_sync(pool.use)
        coroutine.send(None)
        wake = Waiter.wake

        def wake_and_collect(waiter: Waiter) -> bool:
            monkeypatch.setattr(Waiter, "wake", wake)
            coroutine.close()
            return woken

        monkeypatch.setattr(Waiter, "wake", wake_and_collect)
        (pool.release if fit else pool.discard)(slot)
        assert pool.statistics().size == (1 if fit else 0)

    loop_runner(main)
    pool.assert_whole()


def test_who_waits_for_the_end_is_told_though_another_goes_in_that_moment(
    loop_runner: LoopRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = PlainPool(max_size=1)

    async def main() -> None:
        slot = pool.take()
        pool.close()
        coroutine: Any = run_sync(pool.wait_until_unused, 60)
        coroutine.send(None)
        told = asyncio.create_task(run_sync(pool.wait_until_unused, 60))
        await asyncio.sleep(0)
        wake = Waiter.wake

        def wake_and_collect(waiter: Waiter) -> bool:
            monkeypatch.setattr(Waiter, "wake", wake)
            coroutine.close()
            return wake(waiter)

        monkeypatch.setattr(Waiter, "wake", wake_and_collect)
        pool.release(slot)
        await asyncio.wait_for(told, 10)

    loop_runner(main)


class Finalized:
    """Takes a slot when the garbage collector frees it."""

    def __init__(self, pool: PlainPool) -> None:
        self.me, self.pool = self, pool

    def __del__(self) -> None:
        try:
            outcomes.append(self.pool.take())
        except Exception as error:
            outcomes.append(error)


outcomes: list[Any] = []


def collected(pool: PlainPool) -> Any:
    Finalized(pool)
    gc.collect()
    return outcomes.pop()


def test_the_collector_takes_a_free_slot_and_waits_for_none(loop_runner: LoopRunner) -> None:
    pool = PlainPool(max_size=1)

    def function() -> None:
        slot = collected(pool)
        assert isinstance(slot, Slot)
        assert isinstance(collected(pool), BridgeError)
        pool.release(slot)

    loop_runner(run_sync, function)
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    eventually(lambda: not thread.is_alive())
    pool.assert_whole()
