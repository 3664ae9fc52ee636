"""Calls of ``run_sync()`` that run in a thread which waits for their coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from inspect import iscoroutine
from threading import Lock
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

from django_loom.exceptions import TransactionBusy

from . import waiting_threads
from .thread_blocks import wait_for_turn
from .waiting_threads import begin_piece, finish

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


async def run_in_waiting_thread(
    function: Callable[[], T], loop: asyncio.AbstractEventLoop, *, has_turn: bool = False
) -> T:
    """Run a function in the thread that waits for the calling coroutine.

    A cancellation is raised in the function where it waits on the loop. In the midst of
    anything else the thread can't be stopped: the cancelled coroutine waits for it.

    :param has_turn: go beside whatever block of async code is open.
    """
    call = ThreadCall(function, loop)
    piece = begin_piece(loop)
    try:
        if not has_turn:
            await wait_for_turn(loop)
        await _drive(call, has_turn=has_turn)
    finally:
        if piece is not None:
            piece.end()
    if call.failure is not None:
        try:
            raise call.failure
        finally:
            call.failure = None  # this frame is in its traceback
    return call.result  # type: ignore[return-value]


async def run_to_end_in_waiting_thread(
    function: Callable[[], Any], loop: asyncio.AbstractEventLoop
) -> None:
    """Run a function in the thread, beside whatever is open, however often we are cancelled.

    :raises BaseException: what the function raises.
    """
    task = loop.create_task(run_in_waiting_thread(function, loop, has_turn=True))
    await _wait_uncancelled(task, lambda: None)
    task.result()


async def _drive(call: ThreadCall, *, has_turn: bool) -> None:
    error: BaseException | None = None
    while True:
        try:
            await _go_on(call, error)
        except asyncio.CancelledError as cancelled:
            if not call.waits:
                raise
            close(call.take_awaitable())
            error = cancelled
        else:
            if not call.waits:
                break
            error = await _outcome(call)
        if not has_turn:
            error = await _turn(call.loop, error)


async def _outcome(call: ThreadCall) -> BaseException | None:
    """Await what the call waits for; return the exception, if it raises one."""
    try:
        call.value = await call.take_awaitable()
    except GeneratorExit:
        call.closing = True  # its thread ends it when the greenlet is freed
        raise
    except BaseException as error:
        return error
    return None


async def _turn(
    loop: asyncio.AbstractEventLoop, error: BaseException | None
) -> BaseException | None:
    """Wait until a call may go on, and return what is to be raised in it.

    What it waited for has failed → its handlers write, too, and another task's block may be
    open meanwhile → whatever came of the wait, it has to wait for its turn.
    """
    while True:
        try:
            await wait_for_turn(loop)
            return error
        except asyncio.CancelledError as cancelled:
            error = cancelled
        except TransactionBusy as busy:
            return error if isinstance(error, asyncio.CancelledError) else busy


async def _go_on(call: ThreadCall, error: BaseException | None) -> None:
    """Let a call go on in its thread, and return when it waits or has ended.

    A cancellation comes when the thread begins → what waits for the thread is told that
    nothing will run, and it runs → the lock makes one of them the first.
    """
    ended: asyncio.Future[None] = call.loop.create_future()
    begins = Lock()

    def go_on() -> None:
        if begins.acquire(blocking=False):
            try:
                call.go_on(error)
            finally:
                call.loop.call_soon_threadsafe(finish, ended)

    try:
        await waiting_threads.in_thread(go_on)()
    except asyncio.CancelledError:
        if begins.acquire(blocking=False):
            raise
        call.cancel()
        await _wait_uncancelled(ended, call.cancel)
        if call.cancelled:
            call.cancelled = False
            raise


async def _wait_uncancelled(future: asyncio.Future[Any], cancel: Callable[[], None]) -> None:
    """Wait in a task that is cancelled already; ``cancel`` is told if it is once more."""
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            cancel()


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
