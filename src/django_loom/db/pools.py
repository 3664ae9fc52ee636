"""The connection pool: one per process and database alias, for loops and threads."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from django_loom.bridge import Waiter
from django_loom.exceptions import PoolClosed, PoolFull, PoolTimeout

from .pool_options import PoolOptions
from .pool_slots import Slot
from .statistics import PoolStatistics

logger = logging.getLogger("django_loom")


class PoolRequest(Waiter):
    """A caller that waits for a slot; ``slot`` is set when ``granted`` is.

    ``claimed`` is set when it has come for that.
    """

    __slots__ = ("claimed", "slot")
    slot: Slot | None

    def __init__(self) -> None:
        super().__init__()
        self.claimed = False


class ConnectionPool:
    """Hands out slots; who gets an empty one opens the connection.

    The pool knows nothing of drivers: connections are closed by the callable that
    it is given, and opened and checked by the database wrapper that acquires them.
    Its lock is held for a few instructions, never across a wait, so loops and
    threads share it freely. A slot that is given back while others wait goes
    straight to the first of them: nobody can overtake.
    """

    def __init__(
        self, alias: str, options: PoolOptions, close_connection: Callable[[Any], None]
    ) -> None:
        self.alias = alias
        self.options = options
        self._close_connection = close_connection
        # Reentrant: the garbage collector may run while the lock is held, and end a call
        # whose task was forgotten, which gives its slot back.
        self._lock = threading.RLock()
        self._idle: deque[Slot] = deque()  # the longest idle first
        self._used: set[Slot] = set()
        self._waiters: deque[PoolRequest] = deque()
        self._waiters_for_the_end: list[Waiter] = []
        self.is_closed = False
        self._timeouts = self._refused = self._created = self._lost = 0
        self._waits = self._uses = self._pinned = 0
        self._create_time = self._wait_time = self._use_time = 0.0

    def acquire(self) -> Slot:
        """Return a slot that is the caller's alone until it gives it back.

        :return: a slot with an idle connection, or without one: the caller then
            opens it and calls ``opened()``, or ``discard()`` if that fails.
        :raises PoolTimeout: none became free within ``timeout`` seconds.
        :raises PoolFull: ``max_waiting`` callers wait already.
        :raises PoolClosed: the pool was closed.
        """
        with self._lock:
            slot = self._take()
            if slot is None:
                waiter = self._enqueue()
                self._grant_late_release()
        if slot is None:
            slot = self._wait(waiter)
        return self._made_ready(slot)

    def acquire_nowait(self) -> Slot | None:
        """Return a slot as ``acquire()`` does, but None where that would have to wait.

        :raises PoolClosed: the pool was closed.
        """
        with self._lock:
            slot = self._take()
        return None if slot is None else self._made_ready(slot)

    def _made_ready(self, slot: Slot) -> Slot:
        try:
            slot.mark_taken()
            if slot.connection is not None and slot.taken_at >= slot.expires_at:
                self.drop_connection(slot)
        except BaseException:  # nobody else would ever give the slot back
            self.discard(slot, lost=False)
            raise
        return slot

    def opened(self, slot: Slot, connection: Any, seconds: float) -> None:
        """Put the connection that the caller opened in ``seconds`` into its slot."""
        slot.connection = connection
        # Spread out, lest all connections of a burst be replaced in one moment.
        lifetime = self.options.max_lifetime * random.uniform(0.95, 1.0)
        slot.expires_at = time.monotonic() + lifetime
        with self._lock:
            self._created += 1
            self._create_time += seconds

    def drop_connection(self, slot: Slot, *, lost: bool = False) -> None:
        """Close the connection of a slot that the caller keeps.

        :param lost: the connection broke, rather than grew too old.
        """
        connection, slot.connection = slot.connection, None
        slot.suspect = False
        if lost:
            with self._lock:
                self._lost += 1
        self._close(connection)

    def release(self, slot: Slot) -> None:
        """Give back a slot whose connection is idle and fit for the next caller."""
        stale: list[Any] = []
        with self._lock:
            fit = not self.is_closed and slot.connection is not None
            if fit:
                self._count_use(slot)
                self._grant_or(slot, self._idle.append)
                stale = self._take_stale()
        if not fit:
            self.discard(slot, lost=False)
        for connection in stale:
            self._close(connection)

    def discard(self, slot: Slot, *, lost: bool = True) -> None:
        """Give back a slot whose connection must not be used again, or has none.

        :param lost: the connection broke, or its state is in doubt. False where it is
            closed on purpose.
        """
        connection, slot.connection = slot.connection, None
        with self._lock:
            self._count_use(slot)
            if lost and connection is not None:
                self._lost += 1
            # The place is free again: the next who waits may open a connection.
            self._grant_or(slot, lambda slot: None)
        if connection is not None:
            self._close(connection)

    def pin_began(self) -> None:
        """Count a connection in use that is now pinned to a unit of work."""
        with self._lock:
            self._pinned += 1

    def pin_ended(self) -> None:
        """Count that such a pin has ended."""
        with self._lock:
            self._pinned -= 1

    def close(self) -> None:
        """Close idle connections now, used ones when they come back."""
        with self._lock:
            self.is_closed = True
            connections = [slot.connection for slot in self._idle]
            self._idle.clear()
            waiters = list(self._waiters)
            self._waiters.clear()
            for waiter in waiters:
                waiter.granted, waiter.slot = True, None
        for waiter in waiters:
            waiter.wake()
        for connection in connections:
            self._close(connection)

    def wait_until_unused(self, timeout: float) -> None:
        """Wait until all that a closed pool has handed out has come back.

        :param timeout: seconds to wait at most.
        :raises PoolTimeout: somebody holds a connection still; it says who.
        """
        waiter = Waiter()
        with self._lock:
            if not self._used:
                return
            self._waiters_for_the_end.append(waiter)
        try:
            waiter.wait(timeout)
        finally:
            with self._lock:
                self._waiters_for_the_end.remove(waiter)
        if not waiter.granted:
            raise PoolTimeout(
                f"Connections to database {self.alias!r} are in use still, {timeout:g} s "
                f"after its pool was closed. {self._describe()}"
            )

    def close_stale(self) -> float:
        """Close the connections that were idle for longer than ``max_idle``.

        :return: seconds until there can be such a connection again.
        """
        with self._lock:
            stale = self._take_stale()
            oldest = self._idle[0].idle_since if self._idle else math.inf
        for connection in stale:
            self._close(connection)
        left = oldest + self.options.max_idle - time.monotonic()
        # One that is past its time is kept by min_size, until others come back.
        return left if 0 <= left < math.inf else self.options.max_idle

    def statistics(self) -> PoolStatistics:
        """Return the pool's figures at this moment."""
        with self._lock:
            return PoolStatistics(
                max=self.options.max_size,
                idle_min=self.options.min_size,
                idle=len(self._idle),
                used=len(self._used),
                pinned=self._pinned,
                pending_requests=len(self._waiters),
                timeouts=self._timeouts,
                refused=self._refused,
                created=self._created,
                lost=self._lost,
                create_time=self._create_time,
                wait_time=self._wait_time,
                waits=self._waits,
                use_time=self._use_time,
                uses=self._uses,
            )

    def _take(self) -> Slot | None:
        if self.is_closed:
            raise self._closed_error()
        if self._idle:
            slot = self._idle.pop()  # the one used last: its caches are warm
        elif len(self._used) < self.options.max_size:
            slot = Slot(self)
        else:
            return None
        self._used.add(slot)
        return slot

    def _enqueue(self) -> PoolRequest:
        limit = self.options.max_waiting
        if limit and len(self._waiters) >= limit:
            self._refused += 1
            raise PoolFull(
                f"{len(self._waiters)} callers wait for a connection to database "
                f"{self.alias!r} already, as many as OPTIONS['pool']['max_waiting'] "
                f"allows. {self._describe()}"
            )
        waiter = PoolRequest()
        self._waiters.append(waiter)
        return waiter

    def _grant_late_release(self) -> None:
        """Hand over a slot that the garbage collector gave back since ``_take()``.

        Nobody was waiting for it yet, and no other release may follow.
        """
        if self._idle:
            self._grant_or(self._idle.pop(), self._idle.append)
        elif len(self._used) < self.options.max_size:
            self._grant_or(Slot(self), lambda slot: None)

    def _wait(self, waiter: PoolRequest) -> Slot:
        started = time.monotonic()
        try:
            waiter.wait(self.options.timeout)
        except BaseException:
            # Cancelled in the very moment in which a slot was handed over: it is
            # ours, and nobody else would ever give it back.
            if self._withdraw(waiter) and waiter.slot is not None:
                self._return_unused(waiter.slot)
            raise
        finally:
            with self._lock:
                self._waits += 1
                self._wait_time += time.monotonic() - started
        if not self._withdraw(waiter):
            raise self._timeout_error()
        if waiter.slot is None:
            raise self._closed_error()
        return waiter.slot

    def _withdraw(self, waiter: PoolRequest) -> bool:
        """End the wait; tell if it was granted, which no longer changes now."""
        with self._lock:
            if not waiter.granted:
                self._waiters.remove(waiter)
                return False
            waiter.claimed = True
            return True

    def _return_unused(self, slot: Slot) -> None:
        if slot.connection is None:
            self.discard(slot)
        else:
            self.release(slot)

    def _grant_or(self, slot: Slot, otherwise: Callable[[Slot], None]) -> None:
        """Hand the slot to the first who waits, else do as told."""
        while self._waiters:
            waiter = self._waiters.popleft()
            waiter.granted, waiter.slot = True, slot
            self._used.add(slot)
            slot.taken_at = time.monotonic()  # from now on in use, though its user sleeps still
            if waiter.wake() or waiter.claimed:
                # The garbage collector may end the waiter's call in the midst of this: it
                # has then come for the slot, and has given it back.
                return
            waiter.slot = None  # its loop is closed: it will never come for the slot
            self._used.discard(slot)
        otherwise(slot)

    def _count_use(self, slot: Slot) -> None:
        now = slot.idle_since = time.monotonic()
        self._used.discard(slot)
        self._uses += 1
        self._use_time += now - slot.taken_at
        slot.holder = None
        if self.is_closed and not self._used:
            # A copy: the garbage collector may end a wait in the midst of this.
            for waiter in list(self._waiters_for_the_end):
                waiter.granted = True
                waiter.wake()

    def _take_stale(self) -> list[Any]:
        """Take out the connections that were idle for longer than ``max_idle``."""
        stale = []
        limit = time.monotonic() - self.options.max_idle
        while (
            self._idle
            and self._idle[0].idle_since < limit
            and len(self._idle) + len(self._used) > self.options.min_size
        ):
            stale.append(self._idle.popleft().connection)
        return stale

    def _close(self, connection: Any) -> None:
        """Close a connection that nobody has any more; its place is given on already."""
        try:
            self._close_connection(connection)
        except Exception:
            # The driver's error is nobody's who calls here: they have given the connection
            # back, or want another one.
            logger.exception("A connection to database %r could not be closed.", self.alias)

    def _describe(self) -> str:
        # A copy, made in one step: the garbage collector may run between two, and give
        # a slot back.
        holders = "".join(f"\n  - {slot.describe_holder()}" for slot in list(self._used))
        return (
            f"The pool has {len(self._used)} of {self.options.max_size} connections in "
            f"use, {len(self._idle)} idle, {len(self._waiters)} callers waiting. "
            f"Held by:{holders or ' nobody'}"
        )

    def _timeout_error(self) -> PoolTimeout:
        with self._lock:
            self._timeouts += 1
            return PoolTimeout(
                f"No connection to database {self.alias!r} became free within "
                f"{self.options.timeout:g} s (OPTIONS['pool']['timeout']). "
                f"{self._describe()}"
            )

    def _closed_error(self) -> PoolClosed:
        return PoolClosed(f"The connection pool of database {self.alias!r} is closed.")
