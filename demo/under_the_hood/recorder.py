"""Counts what a request does, where it happens: in the request's own context.

A context variable holds the request's record. Tasks that the request starts inherit it, and
so does what ``asyncio.to_thread()`` and ``sync_to_async()`` run in threads: two requests at
the same time never mix, though they share a thread, connections and a loop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any

from django.db import connections

from .records import MAX_REQUESTS, History, Note, Record

DRIVER_THREADS = "django_loom "  # how the names of a driver's threads begin; its alias follows

_current: ContextVar[Record | None] = ContextVar("record_of_the_request", default=None)

_installed: list[bool] = []

HISTORIES = {"requests": History(MAX_REQUESTS), "load": History(1000)}


def current() -> Record | None:
    """Return the record of the request that the calling code belongs to, while that lasts."""
    record = _current.get()
    return None if record is None or record.is_over else record


@contextmanager
def recording(method: str, path: str) -> Iterator[Record]:
    """Record what the block does, and the tasks and threads that it starts."""
    record = Record(method, path)
    _current.set(record)
    try:
        with ExitStack() as stack:
            for alias in connections:
                # For this context, whichever connections its queries use: see django_loom's
                # documentation. Django's own engines would wrap one connection only.
                wrapper = connections[alias].execute_wrapper(partial(_timed_query, record))
                stack.enter_context(wrapper)
            yield record
    finally:
        if not record.is_over:
            record.finish(None)
        _current.set(None)


def recorded_in(history: str | None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a view whose requests go to another history; None: to no history."""

    def mark(view: Callable[..., Any]) -> Callable[..., Any]:
        view.recorded_in = history  # type: ignore[attr-defined]
        return view

    return mark


def keep(record: Record, view: Callable[..., Any] | None) -> None:
    """Put a finished record where its view says."""
    history = getattr(view, "recorded_in", "requests")
    if history is not None:
        HISTORIES[history].add(record)


def install() -> None:
    """Have the standard library tell the current record of hand-overs and new threads.

    Every way from asyncio, asgiref, Django and django-loom to a thread ends in these methods.
    """
    if not _installed:
        _installed.append(True)
        of_loom = [each for each in Executor.__subclasses__() if "django_loom" in each.__module__]
        for executor in (ThreadPoolExecutor, *of_loom):
            executor.submit = _counting_submit(executor.submit)
        threading.Thread.start = _counting_start(threading.Thread.start)


def _timed_query(
    record: Record,
    execute: Callable[..., Any],
    sql: str,
    params: Any,
    many: bool,
    context: dict[str, Any],
) -> Any:
    """Time a query, as Django's "Database instrumentation" has it. Parameters are not kept."""
    if record.is_over:
        return execute(sql, params, many, context)
    note = record.begin_query(str(sql))
    try:
        result = execute(sql, params, many, context)
    except BaseException:
        record.end(note, failed=True)
        raise
    record.end(note)
    return result


def _counting_submit(original: Callable[..., Future[Any]]) -> Callable[..., Future[Any]]:
    @wraps(original)
    def submit(self: Executor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        record = current()
        if record is None:
            return original(self, fn, *args, **kwargs)
        if getattr(self, "_thread_name_prefix", "").startswith(DRIVER_THREADS):
            record.count_driver_call()
            return original(self, fn, *args, **kwargs)
        note = record.begin_hop("waiting for a thread")
        return original(self, _timed_call, record, note, fn, *args, **kwargs)

    return submit


def _timed_call(
    record: Record, note: Note, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Any:
    note.what = threading.current_thread().name
    try:
        return fn(*args, **kwargs)
    finally:
        record.end(note)


def _counting_start(original: Callable[..., None]) -> Callable[..., None]:
    @wraps(original)
    def start(self: threading.Thread) -> None:
        record = current()
        if record is not None:
            record.count_thread(self.name, of_driver=self.name.startswith(DRIVER_THREADS))
        original(self)

    return start
