"""Calls of ``run_sync()`` in async code for whose end a thread of plain code waits.

Outside a loop the thread is the identity of synchronous code. Where it runs async code by
``async_to_sync()``, the synchronous code of that belongs to the same thread, as in Django:
it runs there, while the thread waits. So it has the thread's connections, its values of
``threading.local``, and whatever else a thread has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from inspect import iscoroutine
from threading import Lock, get_ident
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

from .thread_blocks import wait_for_turn

T = TypeVar("T")

# The loops that threads wait for. This and the next one are replaced by the rerouting, which
# knows asgiref.
loops: Container[asyncio.AbstractEventLoop] = frozenset()


def in_thread(function: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    """Return what runs a function in the thread that waits for the calling coroutine."""
    raise NotImplementedError


class WaitingThread:
    """The thread that waits for the async code whose context has this, on ``loop``."""

    __slots__ = ("ident", "loop", "waits")

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.ident = get_ident()
        self.loop = loop
        self.waits = True


_variable: ContextVar[WaitingThread | None] = ContextVar("loom_waiting_thread", default=None)


@contextmanager
def thread_waiting(loop: asyncio.AbstractEventLoop | None) -> Iterator[None]:
    """Run a block in which the calling thread waits for async code, in no unit.

    :param loop: on which that runs; None for a new one.
    """
    waiting = WaitingThread(loop)
    token = _variable.set(waiting)
    try:
        yield
    finally:
        waiting.waits = False
        _variable.reset(token)


def thread_waits(loop: asyncio.AbstractEventLoop) -> bool:
    """Tell if a thread waits for the calling coroutine, which is in no unit.

    A context may have come from there to a loop for which nobody waits, as by
    ``asyncio.to_thread(asyncio.run, ...)``.
    """
    waiting = _variable.get()
    if loop in loops:
        if waiting is not None:
            waiting.loop = loop  # whose last tasks end when it is in there no longer
        return True
    return waiting is not None and waiting.waits and waiting.loop is loop


def in_waiting_thread() -> bool:
    """Tell if the calling thread waits for async code, which has perhaps sent this here."""
    waiting = _variable.get()
    return waiting is not None and waiting.waits and waiting.ident == get_ident()


class ThreadCall(greenlet):
    """A ``run_sync()`` call that runs in the thread that waits for its coroutine.

    It is a greenlet, as a ``SyncCall`` is, so that the thread is free while it waits: for
    other calls, which may be what it waits for. The attributes of the same names mean the
    same. ``waits`` is true from the wait's begin to its end.
    """

    __slots__ = (
        "awaitable",
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
        "waits",
    )

    def __init__(self, function: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.function = function
        self.loop = loop
        self.context: Context | None = None
        self.child: greenlet | None = None
        self.failure: BaseException | None = None
        self.resources = self.result = self.value = self.awaitable = None
        self.closing = self.waits = False

    def run(self) -> None:
        """Run the function, and note what comes of it."""
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
    if not has_turn:
        await wait_for_turn(loop)
    call = ThreadCall(function, loop)
    error: BaseException | None = None
    while True:
        try:
            await _go_on(call, error)
        except asyncio.CancelledError as cancelled:
            if not call.waits:
                raise
            if iscoroutine(awaitable := call.take_awaitable()):
                awaitable.close()
            error = cancelled
            continue
        if not call.waits:
            break
        error = await _outcome(call)
        if error is None and not has_turn:
            try:
                await wait_for_turn(loop)
            except BaseException as raised:
                error = raised
    if call.failure is not None:
        try:
            raise call.failure
        finally:
            call.failure = error = None  # this frame is in its traceback
    return call.result  # type: ignore[return-value]


async def run_to_end_in_waiting_thread(
    function: Callable[[], Any], loop: asyncio.AbstractEventLoop
) -> None:
    """Run a function in the thread, beside whatever is open, however often we are cancelled.

    :raises BaseException: what the function raises.
    """
    task = loop.create_task(run_in_waiting_thread(function, loop, has_turn=True))
    await _wait_uncancelled(task)
    task.result()


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
                call.loop.call_soon_threadsafe(_finish, ended)

    try:
        await in_thread(go_on)()
    except asyncio.CancelledError:
        if not begins.acquire(blocking=False):
            await _wait_uncancelled(ended)
        raise


async def _wait_uncancelled(future: asyncio.Future[Any]) -> None:
    """Wait in a task that is cancelled already; once more is no more."""
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            continue


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


_MISSING: Any = object()


def _take_over(context: Context) -> None:
    """Set the variables of the present context to what they are in another."""
    for variable, value in context.items():
        if variable.get(_MISSING) is not value:
            variable.set(value)
