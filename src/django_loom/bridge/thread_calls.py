"""Calls of ``run_sync()`` that run in a thread which waits for their coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar

from django_loom.exceptions import TransactionBusy

from . import waiting_threads
from .thread_blocks import wait_for_turn
from .thread_greenlets import ThreadCall, close
from .waiting_threads import begin_piece, finish

T = TypeVar("T")


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
