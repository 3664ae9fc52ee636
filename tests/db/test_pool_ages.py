"""Connections of a pool grow old and are closed, and so is the pool."""

from __future__ import annotations

import asyncio

import pytest

from django_loom.exceptions import PoolClosed
from tests.db.pool_tools import Clock, PlainPool, queue_up
from tests.loops import LoopRunner
from tests.polling import aeventually

# Growing old, closing.


def test_a_connection_is_replaced_after_max_lifetime(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    pool = PlainPool(max_lifetime=100)
    first = pool.use()
    clock.now += 94
    assert pool.use() is first
    clock.now += 7
    second = pool.use()
    assert second is not first
    assert pool.closed == [first]
    assert (pool.statistics().created, pool.statistics().lost) == (2, 0)


def test_a_new_connection_is_not_suspect_for_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    pool = PlainPool(max_lifetime=100)
    slot = pool.take()
    slot.suspect = True
    pool.release(slot)
    clock.now += 101
    assert pool.take() is slot
    assert not slot.suspect


def test_a_slot_that_cannot_be_made_ready_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    pool = PlainPool(max_size=1, max_lifetime=100)
    pool.use()
    clock.now += 101

    def interrupted() -> None:
        raise KeyboardInterrupt

    pool.closing = interrupted
    with pytest.raises(KeyboardInterrupt):
        pool.acquire()
    pool.assert_whole()


def test_connections_idle_for_longer_than_max_idle_are_closed_down_to_min_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    pool = PlainPool(min_size=2, max_idle=60)
    slots = [pool.take() for _ in range(5)]
    connections = [slot.connection for slot in slots]
    for slot in slots:
        pool.release(slot)
    clock.now += 59
    pool.use()
    assert pool.closed == []
    clock.now += 2
    pool.use()
    assert pool.closed == connections[:3]
    assert pool.statistics().idle == 2


def test_closing_ends_the_waits_and_closes_each_connection_when_it_is_idle(
    loop_runner: LoopRunner,
) -> None:
    pool = PlainPool(max_size=2)

    async def main() -> None:
        idle, used = pool.take(), pool.take()
        tasks = await queue_up(pool, 2, [])
        thread = asyncio.create_task(asyncio.to_thread(pool.take))
        await aeventually(lambda: pool.statistics().pending_requests == 3)
        connection = used.connection
        pool.close()
        for result in await asyncio.gather(*tasks, thread, return_exceptions=True):
            assert isinstance(result, PoolClosed)
            assert str(result) == "The connection pool of database 'plain' is closed."
        assert pool.closed == []
        pool.release(idle)
        pool.discard(used)
        assert pool.closed[1:] == [connection]
        assert (pool.statistics().size, pool.statistics().pending_requests) == (0, 0)
        assert pool.statistics().lost == 1  # the one that was discarded
        with pytest.raises(PoolClosed):
            pool.take()

    loop_runner(main)


def test_closing_closes_idle_connections_at_once() -> None:
    pool = PlainPool()
    connection = pool.use()
    pool.close()
    pool.close()
    assert pool.closed == [connection]


def test_a_task_cancelled_in_the_moment_in_which_the_pool_closes(loop_runner: LoopRunner) -> None:
    pool = PlainPool(max_size=1)

    async def main() -> None:
        slot = pool.take()
        (task,) = await queue_up(pool, 1, [])
        pool.close()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        pool.release(slot)

    loop_runner(main)
    assert len(pool.closed) == 1


def test_an_opening_that_fails_frees_its_place_for_who_waits(loop_runner: LoopRunner) -> None:
    pool = PlainPool(max_size=1)
    got: list[int] = []

    async def main() -> None:
        slot = pool.acquire()  # and the connection cannot be opened
        tasks = await queue_up(pool, 2, got)
        pool.discard(slot)
        await asyncio.gather(*tasks)

    loop_runner(main)
    assert got == [0, 1]
    assert (pool.statistics().created, pool.statistics().lost) == (1, 0)
