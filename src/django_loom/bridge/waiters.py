"""One party that waits to be woken, on an event loop or in a thread."""

from __future__ import annotations

import asyncio
import threading
from asyncio import _get_running_loop
from contextlib import suppress

from django_loom.exceptions import BridgeError

from .collector import is_collecting
from .greenlets import current_call
from .thread_greenlets import current_thread_call
from .waits import suspend


class Waiter:
    """Made by the party that waits, woken by any other, from any thread.

    Waking carries no value. Whoever wakes sets ``granted`` first, under the lock
    of the queue that the waiter stands in; the waiter reads it under the same
    lock after its wait, however the wait ended. So a cancellation or timeout that
    comes at the same moment as the wake-up can lose nothing.
    """

    __slots__ = ("_future", "_unwoken", "granted")

    def __init__(self) -> None:
        self.granted = False
        call = current_call() or current_thread_call()
        self._future = None if call is None else call.loop.create_future()
        # Held until the wake-up. Not an Event, which is Python code below a lock of its own:
        # the garbage collector may run there, and what it frees may wake this very waiter,
        # which would wait for that lock for ever.
        self._unwoken = threading.Lock() if call is None else None
        if self._unwoken is not None:
            self._unwoken.acquire()

    def wait(self, timeout: float | None = None) -> None:
        """Return when woken, or after ``timeout`` seconds; ``granted`` tells which."""
        if timeout is not None and timeout > threading.TIMEOUT_MAX:
            timeout = None  # such as inf: the clocks do not take it, and nobody sees its end
        if self._unwoken is not None:
            self._block(self._unwoken, timeout)
            return
        assert self._future is not None
        if current_call() is None:
            # In a thread that waits for the loop, whose timers are not for other threads.
            suspend(asyncio.wait([self._future], timeout=timeout))
            return
        timer = None
        if timeout is not None:
            timer = self._future.get_loop().call_later(timeout, self._finish)
        try:
            suspend(self._future)
        finally:
            if timer is not None:
                timer.cancel()

    def _block(self, unwoken: threading.Lock, timeout: float | None) -> None:
        if _get_running_loop() is not None:
            raise BridgeError(
                "A coroutine would block its event loop here, perhaps for ever. Run "
                "the synchronous code with `await django_loom.run_sync(fn)`."
            )
        if not unwoken.locked():
            return
        if is_collecting():
            raise BridgeError(
                "The garbage collector would block its thread here, perhaps for ever: what it "
                "waits for may be held by the code that it interrupts. Close what has to wait "
                "for its end where it is used: `with contextlib.closing(...)`."
            )
        if unwoken.acquire(timeout=-1 if timeout is None else max(0, timeout)):
            self._open(unwoken)  # for who waits once more

    @staticmethod
    def _open(unwoken: threading.Lock) -> None:
        with suppress(RuntimeError):  # it is open
            unwoken.release()

    def wake(self) -> bool:
        """End the wait, and tell if there is still somebody to wake.

        Callable from any thread; a second call does nothing.
        """
        if self._unwoken is not None:
            self._open(self._unwoken)
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
    loop = _get_running_loop()  # inside a call that of a loop that the call runs
    if loop is None and (call := current_call()) is not None:
        loop = call.loop
    return loop
