"""A pool over connections that are plain objects, and a clock that tests move."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from django_loom import run_sync
from django_loom.db import pool_queue, pool_slots, pool_state, pools
from django_loom.db.pool_options import PoolOptions
from django_loom.db.pool_slots import Slot
from django_loom.db.pools import ConnectionPool


class PlainPool(ConnectionPool):
    """`closed` lists what the pool closed, oldest first; `closing` happens at each."""

    def __init__(self, **options: Any) -> None:
        self.closed: list[Any] = []
        self.closing: Callable[[], None] = lambda: None
        super().__init__("plain", PoolOptions(**options), self._close_plainly)

    def _close_plainly(self, connection: Any) -> None:
        self.closed.append(connection)
        self.closing()

    def take(self) -> Slot:
        """Acquire a slot as a database wrapper does, opening what is not there."""
        slot = self.acquire()
        if slot.connection is None:
            self.opened(slot, object(), 0.5)
        return slot

    def use(self) -> Any:
        """Acquire, give back; return the connection that was used."""
        slot = self.take()
        connection = slot.connection
        self.release(slot)
        return connection

    def assert_whole(self) -> None:
        """Nobody holds or waits, and all `max_size` places can be taken at once."""
        figures = self.statistics()
        assert (figures.used, figures.pending_requests) == (0, 0)
        assert figures.size <= self.options.max_size
        slots = [self.take() for _ in range(self.options.max_size)]
        assert self.acquire_nowait() is None
        for slot in slots:
            self.release(slot)


class Clock:
    """Stands for the module `time` in the pool's modules."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        for module in (pools, pool_state, pool_queue, pool_slots):
            monkeypatch.setattr(module, "time", self)

    def monotonic(self) -> float:
        return self.now


async def queue_up(pool: PlainPool, number: int, got: list[Any]) -> list[asyncio.Task[None]]:
    """Start tasks that wait for a slot in the order of their numbers, and note who gets one."""

    def take_and_give(name: int) -> None:
        slot = pool.take()
        got.append(name)
        pool.release(slot)

    tasks = []
    for name in range(number):
        before = pool.statistics().pending_requests
        tasks.append(asyncio.create_task(run_sync(take_and_give, name)))
        await asyncio.sleep(0)
        assert pool.statistics().pending_requests == before + 1
    return tasks
