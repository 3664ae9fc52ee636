"""A driver's connection whose every call runs in a thread that belongs to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from threading import Lock, Thread
from typing import Any

from django.db import InterfaceError

from django_loom.bridge import SyncCall, current_call, suspend

_SECONDS_BETWEEN_INTERRUPTS = 0.02


class DriverThread:
    """One thread that runs one call after the other.

    ``interrupt`` makes the driver end the call that is running, from any thread.
    Without it a cancelled caller waits until that call has ended by itself: the
    connection is busy until then, and nobody else could use it anyway.
    """

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._unfinished: set[Future[Any]] = set()
        self._running: object = None
        self._beginning_or_ending = Lock()
        self.interrupt: Callable[[], None] | None = None
        self.has_ended = False  # or will, when it has run what it was given

    @property
    def is_busy(self) -> bool:
        """Whether a call still runs, its caller having been cancelled twice."""
        return bool(self._unfinished)

    def run(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a function in the thread and wait: on the loop if the caller is on one.

        :raises InterfaceError: the connection was closed, and the thread has ended with it.
        """
        running = object()
        try:
            future = self._executor.submit(self._run, running, fn, args, kwargs)
        except RuntimeError as error:
            if not self.has_ended:  # the interpreter is ending
                raise
            raise InterfaceError("the driver's connection is closed") from error
        self._unfinished.add(future)
        future.add_done_callback(self._unfinished.discard)
        call = current_call()
        if call is None:
            try:
                return future.result()
            finally:
                self._unfinished.discard(future)  # its callbacks may run only later
        waiting = asyncio.wrap_future(future, loop=call.loop)
        try:
            # Shielded, as a cancelled future would hide when the call has ended.
            return suspend(asyncio.shield(waiting))
        except BaseException:
            waiting.add_done_callback(_mark_as_seen)
            # Behind another caller's, who shares the connection, it has not begun: it never will.
            if not future.cancel() and not future.done():
                self._end_early(future, waiting, call, running)
            raise

    def _run(self, running: object, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        with self._beginning_or_ending:
            self._running = running
        try:
            return fn(*args, **kwargs)
        finally:
            with self._beginning_or_ending:
                self._running = None

    def _interrupt(self, running: object) -> None:
        """Interrupt a call.

        It ends between the look and the interrupt, and another caller's begins, which would be
        interrupted → none begins or ends between the two.
        """
        with self._beginning_or_ending, suppress(Exception):  # the connection may be closed
            if self._running is running and self.interrupt is not None:
                self.interrupt()

    def _end_early(
        self, future: Future[Any], waiting: asyncio.Future[Any], call: SyncCall, running: object
    ) -> None:
        """Interrupt what runs, and wait for its end, or have others see to it."""
        # The caller is cancelled just before the thread begins the statement -> the driver
        # forgets an interrupt when no statement runs (sqlite3_interrupt), and an endless
        # statement would keep its thread, and the interpreter's end, for ever -> once more,
        # until the call has ended; by a thread where the loop can't wait any longer.
        try:
            while not call.closing and not future.done():
                if self.interrupt is None:
                    suspend(asyncio.wait([waiting]))
                else:
                    self._interrupt(running)
                    suspend(asyncio.wait([waiting], timeout=_SECONDS_BETWEEN_INTERRUPTS))
        finally:
            if self.interrupt is not None and not future.done():
                self._interrupt(running)
                Thread(
                    target=self._interrupt_until_done, args=(future, running), daemon=True
                ).start()

    def _interrupt_until_done(self, future: Future[Any], running: object) -> None:
        while wait([future], _SECONDS_BETWEEN_INTERRUPTS).not_done:
            self._interrupt(running)

    def post(self, fn: Callable[..., Any], *args: Any) -> None:
        """Run a function in the thread after what runs there now; wait for nothing."""
        self._executor.submit(fn, *args)

    def end(self) -> None:
        """Let the thread end when it has run what it was given."""
        self.has_ended = True
        self._executor.shutdown(wait=False)


def _mark_as_seen(waiting: asyncio.Future[Any]) -> None:
    if not waiting.cancelled():
        waiting.exception()  # so that no "never retrieved" follows


class _Proxy:
    """An object of the driver's; its methods run in the driver's thread.

    Attributes that are not methods are read and set in the thread as well, since
    some drivers, as sqlite3 with ``isolation_level``, talk to the database there.
    """

    _thread: DriverThread
    _target: Any

    def __init__(self, target: Any, thread: DriverThread) -> None:
        object.__setattr__(self, "_target", target)
        object.__setattr__(self, "_thread", thread)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        return self._in_thread(value) if callable(value) else value

    def __setattr__(self, name: str, value: Any) -> None:
        self._thread.run(setattr, self._target, name, value)

    def _in_thread(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                result = self._thread.run(method, *args, **kwargs)
            except Exception:
                raise
            except BaseException:
                self._interrupted()
                raise
            # DB-API methods that return their own object, as sqlite3's execute().
            return self if result is self._target else result

        return call

    def _interrupted(self) -> None:
        """Do what has to be done when a call was cut short."""


class ThreadedCursor(_Proxy):
    """A cursor whose every call runs in its connection's thread."""

    def __iter__(self) -> Iterator[Any]:
        while rows := self.fetchmany(self.arraysize_of_iteration):
            yield from rows

    arraysize_of_iteration = 100

    def close(self) -> None:
        """Close the cursor after what runs now, without waiting for it."""
        with suppress(RuntimeError):  # the connection is closed already, and its thread ended
            self._thread.post(self._target.close)

    def _interrupted(self) -> None:
        # A statement that waits to be read on keeps its locks, and keeps SQLite
        # interrupting all that follow.
        self.close()


class ThreadedConnection(_Proxy):
    """A connection whose every call runs in a thread of its own."""

    @classmethod
    def open(cls, connect: Callable[[], Any], name: str) -> ThreadedConnection:
        """Connect in a new thread, and stay there."""
        thread = DriverThread(name)
        opened: list[Any] = []
        try:
            thread.run(lambda: opened.append(connect()))
        except BaseException:
            # If the caller was cancelled, the thread may have connected all the same.
            thread.post(lambda: [target.close() for target in opened])
            thread.end()
            raise
        target = opened[0]
        thread.interrupt = getattr(target, "interrupt", None)
        return cls(target, thread)

    def cursor(self, *args: Any, **kwargs: Any) -> ThreadedCursor:
        """Make a cursor; arguments are the driver's."""
        return ThreadedCursor(self._thread.run(self._target.cursor, *args, **kwargs), self._thread)

    @property
    def is_busy(self) -> bool:
        """Whether a call still runs for a caller that is gone."""
        return self._thread.is_busy

    @property
    def thread_has_ended(self) -> bool:
        """Whether somebody has closed the connection, or will have when its last call ends."""
        return self._thread.has_ended

    def close(self) -> None:
        """Close the connection when its running call has ended, and end the thread."""
        if self._thread.has_ended:
            return
        try:
            self._thread.post(self._close_target)
        except RuntimeError:  # the interpreter is ending, and has ended the thread
            self._close_target()
        else:
            self._thread.end()

    def _close_target(self) -> None:
        self._target.close()
