"""Functions that async code of a block sends to a thread, past those that wait for the block.

``sync_to_async()`` has one thread for a request's functions, one after the other. One of them
waits there for its turn on a connection, or to write; the block on the loop that has the turn
awaits another function, which stands behind it in the queue → neither would ever end → what a
block awaits is sent to another thread when that one is taken. In stock Django the block is in
that thread itself, where it would come first.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from typing import Any

from asgiref.sync import AsyncToSync, SyncToAsync

from .scopes import Kind, Scope, scopes_in_context

Call = Callable[..., Awaitable[Any]]

# The block for which the present thread runs functions, or waits to run them.
_served: ContextVar[Scope | None] = ContextVar("loom_served_block", default=None)
_jobs: set[_Job] = set()


def _new_executor() -> ThreadPoolExecutor:
    # At most one for each block that is open, of which each has a connection.
    return ThreadPoolExecutor(10_000, thread_name_prefix="django_loom block")


_executor = _new_executor()


class _Job:
    """A function that is to run in a place, or runs there; that place is taken meanwhile."""

    __slots__ = ("_function", "begun", "place")

    def __init__(self, function: Callable[..., Any], place: object) -> None:
        self._function = function
        self.place = place
        self.begun = False
        _jobs.add(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.begun = True
        _jobs.add(self)
        try:
            return self._function(*args, **kwargs)
        finally:
            _jobs.discard(self)


async def call(original: Call, function: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Call what ``sync_to_async()`` has made, where nothing keeps it that waits for it."""
    if not function._thread_sensitive:
        return await original(function, *args, **kwargs)
    scope = _scope()
    if scope is None or scope is _served.get():
        return await _call_in_place(original, function, *args, **kwargs)
    async with scope.jobs_of(asyncio.get_running_loop()):
        place = _place()
        if not any(job.place is place for job in tuple(_jobs)):
            return await _call_in_place(original, function, *args, **kwargs)
        beside = copy(function)
        beside._thread_sensitive, beside._executor = False, _executor
        with served(scope):
            return await original(beside, *args, **kwargs)


async def _call_in_place(original: Call, function: Any, /, *args: Any, **kwargs: Any) -> Any:
    job = _Job(function.func, _place())
    function = copy(function)
    function.func = job
    try:
        return await original(function, *args, **kwargs)
    finally:
        # Cancelled while it runs: the thread is taken until the function ends.
        if not job.begun:
            _jobs.discard(job)


@contextmanager
def served(scope: Scope | None = None) -> Iterator[None]:
    """Run what follows as code for which a thread waits; without a scope, in the present one."""
    before = _served.get()
    _served.set(scope or _scope())
    try:
        yield
    finally:
        _served.set(before)


def _scope() -> Scope | None:
    """Return a block or cursor on a loop that the calling code is in."""
    for scope in (scopes_in_context() or {}).values():
        innermost: Scope | None = scope
        while innermost is not None and (not innermost.active or innermost.kind is Kind.PIN):
            innermost = innermost.parent
        if innermost is not None and innermost.thread is None:
            return innermost
    return None


def _place() -> object:
    """Return whose thread asgiref is going to take."""
    return (
        getattr(AsyncToSync.executors, "current", None)
        or SyncToAsync.thread_sensitive_context.get(None)
        or AsyncToSync.loop_thread_executors.get(asyncio.get_running_loop())
    )


def _forget_in_child() -> None:
    global _executor
    _executor = _new_executor()
    _jobs.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
