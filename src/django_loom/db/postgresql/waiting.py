"""Wait for one of psycopg's generators on an event loop."""

from __future__ import annotations

import asyncio
import select
import sys
import weakref
from collections.abc import Callable, Generator
from time import monotonic
from typing import Any

from psycopg import errors, pq
from psycopg.waiting import READY_R, READY_W, WAIT_R, WAIT_W

from django_loom.bridge import suspend

# Seconds that operations which find their data ready may keep a loop from its other
# tasks, as a long executemany() or copy() would.
MAX_BUSY_TIME = 0.005

_last_yield = 0.0


class GeneratorWait:
    """Drives a generator from the callbacks of its socket, then wakes the caller.

    The caller is switched to once, when the result is there, not each time that a
    part of it arrives.
    """

    __slots__ = ("__weakref__", "_fileno", "_future", "_gen", "_loop", "_pgconn", "_state")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        gen: Generator[int, int, Any],
        pgconn: pq.abc.PGconn,
    ) -> None:
        self._loop = loop
        self._gen = gen
        self._pgconn = pgconn
        self._state = 0

    def run(self) -> Any:
        """Return what the generator returns, or raise what it raises."""
        if self._pgconn.status == pq.ConnStatus.BAD:
            # Before the generator begins: a pipeline's would try to end what it began.
            raise errors.OperationalError("the connection is closed")
        # Not after the generator has ended: if the caller is cancelled here, then
        # before anything was done, and nobody need be told what was.
        global _last_yield
        if monotonic() - _last_yield > MAX_BUSY_TIME:
            suspend(asyncio.sleep(0))  # other tasks could not run for a while
            _last_yield = monotonic()
        try:
            state = next(self._gen)
        except StopIteration as done:
            return done.value
        try:
            self._fileno = self._pgconn.socket
        except errors.OperationalError:
            raise errors.OperationalError("the connection is lost") from None
        try:
            return suspend(self._start(state))
        finally:
            if self._state:
                self._watch(0)
            _last_yield = monotonic()

    def _start(self, state: int) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        # Kept by the loop, as an argument of its callbacks, not by us: what a greenlet
        # keeps is not collected, and neither were the task, when the loop is gone.
        self._future = weakref.ref(future)
        self._watch(state, future)
        return future

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop that the caller waits on."""
        return self._loop

    def fail(self) -> None:
        """End the wait with an error: the connection is being closed."""
        if self._state:
            self._watch(0)
            future = self._future()
            if future is not None and not future.done():
                future.set_exception(errors.OperationalError("the connection was closed"))

    def _watch(self, state: int, future: Any = None) -> None:
        changed = state ^ self._state
        if changed & WAIT_R:
            if state & WAIT_R:
                self._loop.add_reader(self._fileno, self._ready, READY_R, future)
            else:
                self._loop.remove_reader(self._fileno)
        if changed & WAIT_W:
            if state & WAIT_W:
                self._loop.add_writer(self._fileno, self._ready, READY_W, future)
            else:
                self._loop.remove_writer(self._fileno)
        self._state = state

    def _ready(self, ready: int, future: asyncio.Future[Any]) -> None:
        if future.done():
            # Cancelled: the generator is the cancellation's now. Or both reading
            # and writing were ready, and the first call got the result.
            self._watch(0)
            return
        try:
            state = self._gen.send(ready)
            while _has_error(self._fileno):
                # uvloop calls once for such a socket and never again. One read may
                # bring the server's last words only; the next ones bring the end.
                state = self._gen.send(READY_R)
        except StopIteration as done:
            future.set_result(done.value)
        except BaseException as error:
            future.set_exception(error)
        else:
            self._watch(state, future)
            return
        self._watch(0)


if sys.platform == "win32":

    def readable(fileno: int) -> Callable[[int], list[Any]]:
        """Return what tells, given 0, if a socket has data or was closed by its other end."""
        return lambda timeout: select.select([fileno], [], [], timeout)[0]

    def _has_error(fileno: int) -> bool:
        return False

else:

    def readable(fileno: int) -> Callable[[int], list[Any]]:
        """Return what tells, given 0, if a socket has data or was closed by its other end."""
        return _poll(fileno, select.POLLIN)

    def _has_error(fileno: int) -> bool:
        return bool(_poll(fileno, 0)(0))  # errors are reported always

    def _poll(fileno: int, events: int) -> Callable[[int], list[Any]]:
        poll = select.poll()
        poll.register(fileno, events)
        return poll.poll
