"""One party that waits to be woken, on an event loop or in a thread."""

from __future__ import annotations

import asyncio
import threading
from asyncio import _get_running_loop

from django_loom.exceptions import BridgeError

from .greenlets import current_call
from .waits import suspend


class Waiter:
    """Made by the party that waits, woken by any other, from any thread.

    Waking carries no value. Whoever wakes sets ``granted`` first, under the lock
    of the queue that the waiter stands in; the waiter reads it under the same
    lock after its wait, however the wait ended. So a cancellation or timeout that
    comes at the same moment as the wake-up can lose nothing.
    """

    __slots__ = ("_event", "_future", "granted")

    def __init__(self) -> None:
        self.granted = False
        call = current_call()
        self._future = None if call is None else call.loop.create_future()
        self._event = threading.Event() if call is None else None

    def wait(self, timeout: float | None = None) -> None:
        """Return when woken, or after ``timeout`` seconds; ``granted`` tells which."""
        if self._event is not None:
            if _get_running_loop() is not None:
                raise BridgeError(
                    "A coroutine would block its event loop here, perhaps for ever. Run "
                    "the synchronous code with `await django_loom.run_sync(fn)`."
                )
            self._event.wait(timeout)
            return
        assert self._future is not None
        timer = None
        if timeout is not None:
            timer = self._future.get_loop().call_later(timeout, self._finish)
        try:
            suspend(self._future)
        finally:
            if timer is not None:
                timer.cancel()

    def wake(self) -> bool:
        """End the wait, and tell if there is still somebody to wake.

        Callable from any thread; a second call does nothing.
        """
        if self._event is not None:
            self._event.set()
            return True
        assert self._future is not None
        loop = self._future.get_loop()
        try:
            if loop is running_loop():
                self._finish()
            else:
                loop.call_soon_threadsafe(self._finish)
        except RuntimeError:  # that loop is closed, with the wait unfinished
            return False
        return True

    def _finish(self) -> None:
        assert self._future is not None
        if not self._future.done():
            self._future.set_result(None)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that this thread runs, also where ``run_sync()`` hides it."""
    call = current_call()
    return _get_running_loop() if call is None else call.loop
