"""A driver's connection whose `close()` raises: its place is free, and the error is logged."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from django_loom.db.pool_slots import Slot
from tests.db.pool_tools import Clock, PlainPool
from tests.polling import eventually


class FailingPool(PlainPool):
    """Its connections can not be closed."""

    def __init__(self) -> None:
        super().__init__(max_size=1, max_idle=60, max_lifetime=100)
        self.closing = self._fail

    def _fail(self) -> None:
        raise OSError("cannot close")


def discard(pool: PlainPool, clock: Clock, slot: Slot) -> None:
    pool.discard(slot)


def drop(pool: PlainPool, clock: Clock, slot: Slot) -> None:
    pool.drop_connection(slot, lost=True)
    assert slot.connection is None
    pool.discard(slot)


def grow_old(pool: PlainPool, clock: Clock, slot: Slot) -> None:
    pool.release(slot)
    clock.now += 101
    pool.use()


def grow_stale(pool: PlainPool, clock: Clock, slot: Slot) -> None:
    pool.release(slot)
    clock.now += 61
    pool.close_stale()


def close_idle(pool: PlainPool, clock: Clock, slot: Slot) -> None:
    pool.release(slot)
    pool.close()


def close_used(pool: PlainPool, clock: Clock, slot: Slot) -> None:
    pool.close()
    pool.release(slot)


@pytest.mark.parametrize("end", [discard, drop, grow_old, grow_stale, close_idle, close_used])
def test_the_error_is_logged_and_not_raised(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    end: Callable[[PlainPool, Clock, Slot], None],
) -> None:
    clock = Clock(monkeypatch)
    pool = FailingPool()
    slot = pool.take()
    connection = slot.connection
    end(pool, clock, slot)
    assert pool.closed == [connection]
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("django_loom", "ERROR")
    assert record.getMessage() == "A connection to database 'plain' could not be closed."
    assert "OSError: cannot close" in caplog.text
    assert pool.statistics().used == 0
    if not pool.is_closed:
        pool.assert_whole()


def test_who_waits_is_served_first() -> None:
    pool = FailingPool()
    slot = pool.take()
    thread = threading.Thread(target=pool.use, daemon=True)
    thread.start()
    eventually(lambda: pool.statistics().pending_requests == 1)
    pool.closing = lambda: eventually(lambda: pool.statistics().uses == 2)
    pool.discard(slot)
    thread.join(10)
    assert not thread.is_alive()
    pool.assert_whole()
