"""What the lock of a connection pool protects: slots, callers that wait, counts."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from django_loom.bridge import Waiter

from .pool_errors import closed_error, full_error
from .pool_options import PoolOptions
from .pool_queue import PoolQueue, PoolRequest
from .pool_slots import Slot
from .statistics import PoolCounters, PoolStatistics

if TYPE_CHECKING:
    from .pools import ConnectionPool


class PoolState:
    """A pool's slots, idle or used, the queue for them, and what was counted.

    Whoever calls a method holds the pool's lock, which is reentrant: the garbage collector
    may run in the midst of a method, and call another one. No method waits, and none opens
    or closes a connection.
    """

    __slots__ = (
        "_pool",
        "alias",
        "counters",
        "idle",
        "is_closed",
        "options",
        "queue",
        "used",
        "waiters_for_the_end",
    )

    def __init__(self, pool: ConnectionPool, alias: str, options: PoolOptions) -> None:
        self._pool = pool
        self.alias = alias
        self.options = options
        self.idle: deque[Slot] = deque()  # the longest idle first
        self.used: set[Slot] = set()
        self.queue = PoolQueue()
        self.waiters_for_the_end: list[Waiter] = []
        self.is_closed = False
        self.counters = PoolCounters()

    def take(self) -> Slot | None:
        """Return an idle slot or a new one; None if all are in use.

        :raises PoolClosed: the pool was closed.
        """
        if self.is_closed:
            raise closed_error(self)
        if self.idle:
            slot = self.idle.pop()  # the one used last: its caches are warm
        elif len(self.used) < self.options.max_size:
            slot = Slot(self._pool)
        else:
            return None
        self.used.add(slot)
        return slot

    def enqueue(self) -> PoolRequest:
        """Return a request for a slot, after ``take()`` had none.

        :raises PoolFull: ``max_waiting`` callers wait already.
        """
        limit = self.options.max_waiting
        if limit and len(self.queue.requests) >= limit:
            self.counters.refused += 1
            raise full_error(self)
        request = self.queue.enqueue()
        self._grant_late_release()
        return request

    def _grant_late_release(self) -> None:
        """Hand over a slot that the garbage collector gave back since ``take()``.

        Nobody was waiting for it yet, and no other release may follow.
        """
        if self.idle:
            slot = self.idle.pop()
            if not self.queue.grant(slot, self.used):
                self.idle.append(slot)
        elif len(self.used) < self.options.max_size:
            self.queue.grant(Slot(self._pool), self.used)

    def put_back(self, slot: Slot) -> None:
        """Hand a slot to the first who waits, else keep it as an idle one."""
        self._end_use(slot)
        queue = self.queue
        if not (queue.requests and queue.grant(slot, self.used)):
            self.idle.append(slot)

    def give_up(self, slot: Slot) -> None:
        """Forget a slot, whose connection nobody is to use again."""
        self._end_use(slot)
        # The place is free again: the next who waits may open a connection.
        self.queue.grant(slot, self.used)

    def _end_use(self, slot: Slot) -> None:
        now = slot.idle_since = time.monotonic()
        self.used.discard(slot)
        counters = self.counters
        counters.uses += 1
        counters.use_time += now - slot.taken_at
        slot.holder = None
        if self.is_closed and not self.used:
            # A copy: the garbage collector may end a wait in the midst of this.
            for waiter in list(self.waiters_for_the_end):
                waiter.granted = True
                waiter.wake()

    def take_stale(self) -> list[Any]:
        """Take out the connections that were idle for longer than ``max_idle``."""
        stale = []
        limit = time.monotonic() - self.options.max_idle
        while (
            self.idle
            and self.idle[0].idle_since < limit
            and len(self.idle) + len(self.used) > self.options.min_size
        ):
            stale.append(self.idle.popleft().connection)
        return stale

    def close(self) -> tuple[list[Any], list[PoolRequest]]:
        """Take out the idle connections, and the requests, which are still to be woken."""
        self.is_closed = True
        connections = [slot.connection for slot in self.idle]
        self.idle.clear()
        return connections, self.queue.clear()

    def statistics(self) -> PoolStatistics:
        """Return the figures at this moment."""
        return PoolStatistics(
            max=self.options.max_size,
            idle_min=self.options.min_size,
            idle=len(self.idle),
            used=len(self.used),
            pending_requests=len(self.queue.requests),
            **asdict(self.counters),
        )
