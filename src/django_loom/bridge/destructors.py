"""A cancellation that comes while a destructor waits.

Code leaves a generator half-way and drops it → its ``finally`` runs at that very place, in
the destructor, and waits, as a transaction does to roll back → a cancellation is raised
there, and the interpreter drops what a destructor raises: the task would go on as if nobody
had cancelled it → it is cancelled once more, and learns of it where it waits next.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from .greenlets import current_call
from .tasks import task_of


def cancel_again(dropped: BaseException | None) -> bool:
    """Make up for an exception that a destructor has raised; tell if it was a cancellation.

    Called where the interpreter reports it, which is still in the code that has been cancelled.
    """
    if not isinstance(dropped, asyncio.CancelledError):
        return False
    call = current_call()
    if call is None or call.closing:
        return False
    task = task_of(call)
    if task is None or not task.cancelling():
        return False
    with suppress(RuntimeError):  # the loop is being closed
        call.loop.call_soon(_cancel_again, task, dropped.args)
        return True
    return False


def _cancel_again(task: asyncio.Task[object], reason: tuple[object, ...]) -> None:
    # Who asked may have given up meanwhile, as `asyncio.timeout()` does at its end. A request
    # more would be counted, and those who ask compare the counts.
    if task.cancelling() and not task.done():
        task.uncancel()
        task.cancel(*reason)
