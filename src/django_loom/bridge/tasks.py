"""The task that a thread runs, and how it is hidden with the loop."""

from __future__ import annotations

import asyncio
import sys
from asyncio import _get_running_loop, _set_running_loop
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .greenlets import SyncCall

# Python 3.14 knows one current task for each thread, older ones one for each loop. Left in
# place, it would let no loop that synchronous code runs inside the call start a task.
TASK_PER_THREAD = sys.version_info >= (3, 14)
if TASK_PER_THREAD:
    from asyncio.tasks import _swap_current_task  # type: ignore[attr-defined]  # not in typeshed


def hide_task(call: SyncCall, loop: asyncio.AbstractEventLoop) -> None:
    """Put the thread's task aside, while the loop is still visible."""
    call.task = asyncio.current_task(loop)
    if call.task is not None:
        _swap_current_task(loop, None)


def show_task(call: SyncCall, loop: asyncio.AbstractEventLoop) -> None:
    """Put it back, once the loop is visible again."""
    if call.task is not None:
        _swap_current_task(loop, call.task)
        call.task = None


def task_of(call: SyncCall) -> asyncio.Task[Any] | None:
    """Return the task that awaits a ``run_sync()`` call, which the calling code runs in."""
    return call.task if TASK_PER_THREAD else asyncio.current_task(call.loop)


@contextmanager
def loop_hidden() -> Iterator[None]:
    """Run a block of a coroutine as if no loop ran: it blocks the loop, as in a test it may."""
    loop = _get_running_loop()
    if loop is None:
        yield
        return
    task = _swap_current_task(loop, None) if TASK_PER_THREAD else None
    _set_running_loop(None)
    try:
        yield
    finally:
        _set_running_loop(loop)
        if task is not None:
            _swap_current_task(loop, task)
