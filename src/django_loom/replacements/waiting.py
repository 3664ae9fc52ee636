"""``async_to_sync()``: who waits for async code, a call on the loop or a thread."""

from __future__ import annotations

from asyncio import _get_running_loop
from functools import partial, wraps
from typing import Any

from asgiref.sync import AsyncToSync, SyncToAsync
from django.db import connections

from django_loom.bridge import (
    await_,
    current_call,
    current_thread_call,
    current_unit,
    thread_waiting,
    wait_in_thread_call,
)


def call_async_to_sync(original: Any) -> Any:
    """Await in the loop that runs the caller, if it runs below ``run_sync()``.

    Plain code of a thread waits there, and the async code is the thread's.
    """

    @wraps(original)
    def __call__(self: AsyncToSync[..., Any], *args: Any, **kwargs: Any) -> Any:
        # A loop that runs inside the call has coroutines of its own: asgiref refuses there.
        if _get_running_loop() is not None:
            return original(self, *args, **kwargs)
        if current_call() is not None:
            return await_(self.awaitable(*args, **kwargs))
        if current_thread_call() is not None:
            return wait_in_thread_call(self.awaitable(*args, **kwargs))
        if current_unit() is not None:  # in a thread, where no `await_()` tells of the wait
            storage: Any = connections._connections
            storage.thread_waits()
        loop = getattr(SyncToAsync.threadlocal, "main_event_loop", None)
        with thread_waiting(None if self.force_new_loop else loop) as waiting:
            awaitable = self.awaitable(*args, **kwargs)
            served = AsyncToSync(partial(waiting.serve, awaitable), self.force_new_loop)
            return original(served)

    return __call__


def begun_in_thread(original: Any) -> Any:
    """Let a call know whether it may leave its thread to others while it waits."""
    from django_loom.db.begun import begun_in_thread

    return begun_in_thread


def in_waiting_thread(original: Any) -> Any:
    """Let ``run_sync()`` know how a function gets to the thread that waits for the caller."""
    return SyncToAsync


def loops_of_threads(original: Any) -> Any:
    """Let ``run_sync()`` know the loops that threads wait for."""
    return AsyncToSync.loop_thread_executors
