"""A mutex for threads and for synchronous code on event loops alike."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from types import TracebackType

from .waiters import Waiter


class Lock:
    """A fair mutex that may be held across a wait.

    A ``threading.Lock`` held across ``await_()`` blocks the whole thread for ever
    as soon as a second greenlet of it wants the lock. Here the second one waits on
    the loop. The lock has no owner: any code may release it.
    """

    __slots__ = ("_guard", "_locked", "_waiters")

    def __init__(self) -> None:
        # Held for a few instructions, never across a wait. Reentrant, for the garbage
        # collector may run in their midst, and what it collects may hold this lock.
        self._guard = threading.RLock()
        self._locked = False
        self._waiters: deque[Waiter] = deque()

    def acquire(self, timeout: float | None = None) -> bool:
        """Take the lock, waiting at most ``timeout`` seconds; tell if it was taken."""
        if self._take():
            return True
        waiter = Waiter()  # not under the guard: this may start the garbage collector
        if self._take(waiter):
            return True
        try:
            waiter.wait(timeout)
        except BaseException:
            if not self._withdraw(waiter):
                # Cancelled in the same moment as the lock was handed to us:
                # without this nobody would ever release it.
                self.release()
            raise
        return not self._withdraw(waiter)

    def acquire_nowait(self) -> bool:
        """Take the lock if it is free; tell if it was."""
        return self._take()

    def _take(self, waiter: Waiter | None = None) -> bool:
        """Take the lock if it is free, else queue the waiter."""
        with self._guard:
            if not self._locked:
                self._locked = True
                return True
            if waiter is not None:
                self._waiters.append(waiter)
            return False

    def _withdraw(self, waiter: Waiter) -> bool:
        """Leave the queue; tell if the waiter stood in it, not granted."""
        with self._guard:
            if waiter.granted:
                waiter.granted = False  # see release()
                return False
            with suppress(ValueError):  # release() passed over it: its loop was closed
                self._waiters.remove(waiter)
            return True

    def release(self) -> None:
        """Hand the lock to the first who waits, or unlock it."""
        with self._guard:
            while self._waiters:
                waiter = self._waiters.popleft()
                waiter.granted = True
                if waiter.wake() or not waiter.granted:
                    # The garbage collector may end the waiter's call in the midst of this:
                    # it has then taken the grant, and has passed the lock on.
                    return
                waiter.granted = False  # its loop is closed: it will never come
            self._locked = False

    def locked(self) -> bool:
        """Tell if the lock is held."""
        return self._locked

    __enter__ = acquire

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()
