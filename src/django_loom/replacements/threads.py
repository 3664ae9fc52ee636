"""What functions are that leave the loop for a thread, or stay on it where they need none."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial, wraps
from importlib import import_module
from operator import attrgetter
from typing import Any

import asgiref.local
import asgiref.sync
from asgiref.sync import SyncToAsync, async_to_sync, iscoroutinefunction
from django.db import connections

from django_loom.bridge import (
    ClosedApart,
    cancel_again,
    run_sync,
)
from django_loom.offload import Flow, executor
from django_loom.reroute_table import Policy


def sync_to_async(policy: Policy) -> Callable[[Any], Any]:
    """Return what replaces ``sync_to_async`` in the modules of a policy."""

    def replacement(original: Any) -> Any:
        @wraps(asgiref.sync.sync_to_async)
        def sync_to_async(
            func: Any = None, *, thread_sensitive: bool = True, **options: Any
        ) -> Any:
            caller = sys._getframe(1).f_code.co_name
            if func is not None and policy.takes(func, thread_sensitive, caller):
                return partial(run_sync, func)
            if func is not None and policy.executor is not None and not thread_sensitive:
                return partial(executor(policy.executor).run, func)
            return original(func, thread_sensitive=thread_sensitive, **options)

        return sync_to_async

    return replacement


def in_thread_for(work: str) -> Callable[[Any], Any]:
    """Return what lets synchronous code on a loop do such work in a thread of its executor."""

    def replacement(original: Any) -> Any:
        @wraps(original)
        def in_thread(*args: Any, **kwargs: Any) -> Any:
            return executor(work).call(original, *args, **kwargs)

        return in_thread

    return replacement


def by_sync_twin(original: Any) -> Any:
    """Take the bridge where an async function hashes a password on the loop itself.

    Its synchronous twin does the same, and hashes in a thread.
    """
    *path, name = original.__qualname__.split(".")
    twin_name = ".".join([*path, name.replace("a", "", 1)])
    twin = attrgetter(twin_name)(import_module(original.__module__))

    @wraps(original)
    async def replacement(*args: Any, **kwargs: Any) -> Any:
        # A callback that is async, as acheck_password() takes one, is awaited.
        args = tuple(async_to_sync(a) if iscoroutinefunction(a) else a for a in args)
        return await run_sync(twin, *args, **kwargs)

    return replacement


def as_flow(original: Any) -> Any:
    """Let a function that ``asyncio.to_thread()`` runs be one flow, which ends with it."""

    @wraps(original)
    async def to_thread(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        flow = Flow(partial(function, *args, **kwargs), _leases)
        del function, args, kwargs
        return await original(flow)

    return to_thread


def _leases() -> AbstractContextManager[None]:
    """Return what is entered around a function that async code runs in a thread."""
    storage: Any = connections._connections
    leases: AbstractContextManager[None]
    leases = getattr(storage, "leases_end", nullcontext)()  # not before the app is ready
    return leases


def run_in_thread(original: Any) -> Any:
    """Hold no pooled connection in a thread after the function that async code ran there."""

    @wraps(original)
    def thread_handler(self: SyncToAsync[..., Any], *args: Any) -> Any:
        *before, child = args  # which is called in the context of the async code
        return original(self, *before, Flow(child, _leases))

    return thread_handler


def closed_apart(original: Any) -> Any:
    """Let what waits for a thread set no variables in code that the function is no part of."""

    @wraps(original)
    async def __call__(self: SyncToAsync[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await ClosedApart(original(self, *args, **kwargs))

    return __call__


def without_cancellations(original: Any) -> Any:
    """Have a cancellation come again that a destructor has raised, and report what is left."""

    @wraps(original)
    def unraisablehook(unraisable: Any, /) -> None:
        if not cancel_again(unraisable.exc_value):
            original(unraisable)

    return unraisablehook
