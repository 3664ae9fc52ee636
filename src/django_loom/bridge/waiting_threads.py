"""Threads of plain code that wait for async code, as in ``async_to_sync()``.

Outside a loop the thread is the identity of synchronous code. Where it runs async code by
``async_to_sync()``, the synchronous code of that belongs to the same thread, as in Django:
it runs there, while the thread waits. So does that of a thread which goes on beyond the end
of its unit: it still has what belongs to the unit, and nobody else has any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar, Token
from threading import get_ident
from typing import Any, TypeVar

from .unit import Unit, current_unit, unit_in_context
from .variables import context_variable

T = TypeVar("T")

# The loops that threads wait for. This and the next ones are replaced by the rerouting, which
# knows asgiref and Django.
loops: Container[asyncio.AbstractEventLoop] = frozenset()


def in_thread(function: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    """Return what runs a function in the thread that waits for the calling coroutine."""
    raise NotImplementedError


def block_thread(awaitable: Awaitable[T], loop: asyncio.AbstractEventLoop) -> T:
    """Wait on a loop; meanwhile the calling thread runs only what the awaitable sends to it."""
    raise NotImplementedError


def begun_in_thread() -> int:
    """Count what code of the calling thread has begun that others would be in, and not ended."""
    return 0


class WaitingThread:
    """The thread that waits for the async code whose context has this, on ``loop``.

    ``unit`` is that of the thread's code; it counts once it has ended. ``around`` is another
    wait in the midst of which this one began. ``waits`` is false as soon as nobody but
    ``pieces`` may begin with anything: what has begun, and must end in the thread.
    """

    __slots__ = ("_idle", "around", "has_new_loop", "ident", "loop", "pieces", "unit", "waits")

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.ident = get_ident()
        self.loop = loop
        self.has_new_loop = False
        self.unit: Unit | None = current_unit()
        self.around: WaitingThread | Piece | None = _variable.get()
        self.waits = True
        self.pieces: set[Piece] = set()
        self._idle: asyncio.Future[None] | None = None

    @property
    def thread(self) -> WaitingThread:
        """Return the thread, as a piece does."""
        return self

    async def serve(self, awaitable: Awaitable[T]) -> T:
        """Await what the thread waits for; then whatever else has to end in the thread.

        A task goes on when the thread has its result → the call that it has put aside there,
        or its block, could not be ended anywhere → the thread stays for them, and for their
        own calls. Where the loop ends with the wait, asyncio cancels what is left.
        """
        loop = asyncio.get_running_loop()
        self.has_new_loop = self.loop is not loop
        self.loop = loop
        try:
            return await awaitable
        finally:
            if not self.has_new_loop:
                await self._end()

    async def _end(self) -> None:
        self.waits = False
        cancelled: asyncio.CancelledError | None = None
        while self.pieces:
            self._idle = asyncio.get_running_loop().create_future()
            if not self.pieces:  # the last one has ended meanwhile, in the thread
                break
            try:
                await self._idle
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    def end_piece(self, piece: Piece) -> None:
        """Note the end of a piece, from any thread."""
        self.pieces.discard(piece)
        if not self.pieces and self._idle is not None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                self._idle.get_loop().call_soon_threadsafe(finish, self._idle)


class Piece:
    """A call or a block in a waiting thread; what its context has instead of the thread."""

    __slots__ = ("_token", "around", "thread", "waits")

    def __init__(self, around: WaitingThread | Piece) -> None:
        self.around = around
        self.thread: WaitingThread = around.thread
        self.waits = True
        self.thread.pieces.add(self)
        self._token: Token[Any] = _variable.set(self)

    def end(self) -> None:
        """Let the thread wait no longer for this. A second call does nothing."""
        if self.waits:
            self.waits = False
            with suppress(ValueError):  # closed, in whatever context
                _variable.reset(self._token)
            self.thread.end_piece(self)


_variable: ContextVar[WaitingThread | Piece | None] = context_variable("loom_waiting_thread", None)


@contextmanager
def thread_waiting(loop: asyncio.AbstractEventLoop | None) -> Iterator[WaitingThread]:
    """Run a block in which the calling thread waits for async code.

    :param loop: on which that runs; None for a new one.
    """
    waiting = WaitingThread(loop)
    token = _variable.set(waiting)
    try:
        yield waiting
    finally:
        waiting.waits = False
        _variable.reset(token)


def thread_waits(loop: asyncio.AbstractEventLoop) -> bool:
    """Tell if a thread waits for the calling coroutine, which is in no unit, or in an ended one.

    A context may have come from there to a loop for which nobody waits, as by
    ``asyncio.to_thread(asyncio.run, ...)``. In a unit that has not ended nobody asks.
    """
    unit = unit_in_context()
    if unit is None:
        return loop in loops or _present(loop, None) is not None
    return unit.ended and _present(loop, unit) is not None


def _present(loop: asyncio.AbstractEventLoop, unit: Unit | None) -> WaitingThread | Piece | None:
    waiting = _variable.get()
    while waiting is not None:
        thread: WaitingThread = waiting.thread
        if waiting.waits and thread.loop is loop and thread.unit is unit:
            break
        waiting = waiting.around
    return waiting


def begin_piece(loop: asyncio.AbstractEventLoop) -> Piece | None:
    """Have the thread that waits for the calling coroutine stay until this has ended."""
    present = _present(loop, unit_in_context())
    return None if present is None else Piece(present)


def domain(loop: asyncio.AbstractEventLoop) -> object:
    """Return what all code has in common that takes turns in the thread with the caller.

    A call blocks the thread for what it awaits → blocks that others have begun on the loop
    can't be entered meanwhile → what the call awaits does not wait for them.
    """
    present = _present(loop, unit_in_context())
    return loop if present is None or present.thread.has_new_loop else present.thread


def in_waiting_thread() -> bool:
    """Tell if the calling thread waits for async code, which has perhaps sent this here.

    A thread of a unit does not count.
    """
    waiting = _variable.get()
    while waiting is not None:
        thread: WaitingThread = waiting.thread
        if waiting.waits and thread.unit is None and thread.ident == get_ident():
            return True
        waiting = waiting.around
    return False


def finish(future: asyncio.Future[None]) -> None:
    """Let those go on who wait for a future, unless they have left."""
    if not future.done():
        future.set_result(None)
