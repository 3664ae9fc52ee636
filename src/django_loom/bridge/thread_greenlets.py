"""The greenlets of calls that run in a thread which waits for their coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from inspect import iscoroutine
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

from . import waiting_threads

T = TypeVar("T")


class ThreadCall(greenlet):
    """A ``run_sync()`` call that runs in the thread that waits for its coroutine.

    It is a greenlet, as a ``SyncCall`` is, so that the thread is free while it waits: for
    other calls, which may be what it waits for. The attributes of the same names mean the
    same. ``waits`` is true from the wait's begin to its end. ``waiter`` is the task that
    awaits something for which the call blocks its thread, ``cancelled`` a cancellation that
    is still to be raised.
    """

    __slots__ = (
        "_begun_before",
        "awaitable",
        "cancelled",
        "child",
        "closing",
        "context",
        "driver",
        "failure",
        "function",
        "loop",
        "resources",
        "result",
        "value",
        "waiter",
        "waits",
    )

    def __init__(self, function: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.function = function
        self.loop = loop
        self.context: Context | None = None
        self.child: greenlet | None = None
        self.failure: BaseException | None = None
        self.waiter: asyncio.Task[Any] | None = None
        self.resources = self.result = self.value = self.awaitable = None
        self.cancelled = self.closing = self.waits = False
        self._begun_before = 0

    def run(self) -> None:
        """Run the function, and note what comes of it."""
        self._begun_before = waiting_threads.begun_in_thread()
        try:
            self.result = self.function()
        except BaseException as error:
            self.failure = error

    def go_on(self, error: BaseException | None) -> None:
        """Run to the next wait or to the end, in the thread.

        Its context is one from beginning to end, so that a variable can be reset with the
        token of what has set it. The thread gets another context each time, a copy of the
        coroutine's: what has changed goes from the one to the other.
        """
        self.driver = self.parent = getcurrent()
        if self.context is None:
            self.gr_context = self.context = self.driver.gr_context
        else:
            self.context.run(_take_over, copy_context())
        self.waits = False
        child, self.child = self.child, None
        if error is None:
            (child or self).switch()
        else:
            (child or self).throw(type(error), error, error.__traceback__)
        self.waits = not self.dead
        if self.context is not None:
            _take_over(self.context)

    def take_awaitable(self) -> Any:
        """Return what the call waits for, which only the coroutine keeps from now on."""
        awaitable, self.awaitable = self.awaitable, None
        return awaitable

    def keeps_thread(self) -> bool:
        """Tell if the call has begun what no other code of the thread may be in.

        It waits in its transaction → another call comes to the thread, writes, and is rolled
        back with it → the call blocks its thread, as a plain function would.
        """
        return waiting_threads.begun_in_thread() > self._begun_before

    def block(self, awaitable: Awaitable[T]) -> T:
        """Wait, and let nobody else use the thread but what the awaitable sends to it."""
        self.waits = True
        try:
            return waiting_threads.block_thread(self._outcome(awaitable), self.loop)
        finally:
            self.waits = False

    async def _outcome(self, awaitable: Awaitable[T]) -> T:
        self.waiter = asyncio.current_task()
        try:
            if self.cancelled:
                self.cancelled = False
                close(awaitable)
                raise asyncio.CancelledError
            return await awaitable
        finally:
            self.waiter = None

    def cancel(self) -> None:
        """Raise a cancellation where the call blocks its thread, now or the next time."""
        if self.waiter is None:
            self.cancelled = True
        else:
            self.waiter.cancel()


def current_thread_call() -> ThreadCall | None:
    """Return the call in a waiting thread that the calling code runs in, if any."""
    current: greenlet | None = getcurrent()
    while current is not None:
        if type(current) is ThreadCall:
            return None if current.waits else current
        current = current.parent
    return None


def close(awaitable: object) -> None:
    """Part with what will not be awaited: no "never awaited" warning on top."""
    if iscoroutine(awaitable):
        awaitable.close()


_MISSING: Any = object()


def _take_over(context: Context) -> None:
    """Set the variables of the present context to what they are in another."""
    for variable, value in context.items():
        if variable.get(_MISSING) is not value:
            variable.set(value)
