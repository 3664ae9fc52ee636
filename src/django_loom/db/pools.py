"""The connection pool: one per process and database alias, for loops and threads."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from django_loom.bridge import Waiter

from .pool_errors import closed_error, still_used_error, timeout_error
from .pool_options import PoolOptions
from .pool_queue import PoolRequest
from .pool_slots import Slot
from .pool_state import PoolState
from .statistics import PoolStatistics

logger = logging.getLogger("django_loom")


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
        self._state = PoolState(self, alias, options)  # changed under the lock only

    @property
    def is_closed(self) -> bool:
        """Tell if the pool was closed, and gives nobody a connection any more."""
        return self._state.is_closed

    def acquire(self) -> Slot:
        """Return a slot that is the caller's alone until it gives it back.

        :return: a slot with an idle connection, or without one: the caller then
            opens it and calls ``opened()``, or ``discard()`` if that fails.
        :raises PoolTimeout: none became free within ``timeout`` seconds.
        :raises PoolFull: ``max_waiting`` callers wait already.
        :raises PoolClosed: the pool was closed.
        """
        with self._lock:
            slot = self._state.take()
            if slot is None:
                request = self._state.enqueue()
        if slot is None:
            slot = self._wait(request)
        return self._made_ready(slot)

    def acquire_nowait(self) -> Slot | None:
        """Return a slot as ``acquire()`` does, but None where that would have to wait.

        :raises PoolClosed: the pool was closed.
        """
        with self._lock:
            slot = self._state.take()
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
            self._state.counters.created += 1
            self._state.counters.create_time += seconds

    def drop_connection(self, slot: Slot, *, lost: bool = False) -> None:
        """Close the connection of a slot that the caller keeps.

        :param lost: the connection broke, rather than grew too old.
        """
        connection, slot.connection = slot.connection, None
        slot.suspect = False
        if lost:
            with self._lock:
                self._state.counters.lost += 1
        self._close(connection)

    def release(self, slot: Slot) -> None:
        """Give back a slot whose connection is idle and fit for the next caller."""
        stale: list[Any] = []
        state = self._state
        with self._lock:
            fit = not state.is_closed and slot.connection is not None
            if fit:
                state.put_back(slot)
                stale = state.take_stale()
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
            if lost and connection is not None:
                self._state.counters.lost += 1
            self._state.give_up(slot)
        if connection is not None:
            self._close(connection)

    def pin_began(self) -> None:
        """Count a connection in use that is now pinned to a unit of work."""
        with self._lock:
            self._state.counters.pinned += 1

    def pin_ended(self) -> None:
        """Count that such a pin has ended."""
        with self._lock:
            self._state.counters.pinned -= 1

    def close(self) -> None:
        """Close idle connections now, used ones when they come back."""
        with self._lock:
            connections, requests = self._state.close()
        for request in requests:
            request.wake()
        for connection in connections:
            self._close(connection)

    def wait_until_unused(self, timeout: float) -> None:
        """Wait until all that a closed pool has handed out has come back.

        :param timeout: seconds to wait at most.
        :raises PoolTimeout: somebody holds a connection still; it says who.
        """
        waiter = Waiter()
        with self._lock:
            if not self._state.used:
                return
            self._state.waiters_for_the_end.append(waiter)
        try:
            waiter.wait(timeout)
        finally:
            with self._lock:
                self._state.waiters_for_the_end.remove(waiter)
        if not waiter.granted:
            raise still_used_error(self._state, timeout)

    def close_stale(self) -> float:
        """Close the connections that were idle for longer than ``max_idle``.

        :return: seconds until there can be such a connection again.
        """
        with self._lock:
            stale = self._state.take_stale()
            idle = self._state.idle
            oldest = idle[0].idle_since if idle else math.inf
        for connection in stale:
            self._close(connection)
        left = oldest + self.options.max_idle - time.monotonic()
        # One that is past its time is kept by min_size, until others come back.
        return left if 0 <= left < math.inf else self.options.max_idle

    def statistics(self) -> PoolStatistics:
        """Return the pool's figures at this moment."""
        with self._lock:
            return self._state.statistics()

    def _wait(self, request: PoolRequest) -> Slot:
        started = time.monotonic()
        try:
            request.wait(self.options.timeout)
        except BaseException:
            # Cancelled in the very moment in which a slot was handed over: it is
            # ours, and nobody else would ever give it back.
            if self._withdraw(request) and request.slot is not None:
                self._return_unused(request.slot)
            raise
        finally:
            with self._lock:
                self._state.counters.waits += 1
                self._state.counters.wait_time += time.monotonic() - started
        if not self._withdraw(request):
            with self._lock:
                self._state.counters.timeouts += 1
                raise timeout_error(self._state)
        if request.slot is None:
            raise closed_error(self._state)
        return request.slot

    def _withdraw(self, request: PoolRequest) -> bool:
        with self._lock:
            return self._state.queue.withdraw(request)

    def _return_unused(self, slot: Slot) -> None:
        if slot.connection is None:
            self.discard(slot)
        else:
            self.release(slot)

    def _close(self, connection: Any) -> None:
        """Close a connection that nobody has any more; its place is given on already."""
        try:
            self._close_connection(connection)
        except Exception:
            # The driver's error is nobody's who calls here: they have given the connection
            # back, or want another one.
            logger.exception("A connection to database %r could not be closed.", self.alias)
