"""psycopg's connection, waiting on the event loop when called below ``run_sync()``.

psycopg writes its protocol as generators that yield when they would block; one
method, ``Connection.wait()``, consumes them. Overriding it makes every operation
of the connection wait on the loop, and leaves the rest of psycopg whole.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import weakref
from collections.abc import Callable
from contextlib import suppress
from threading import get_ident
from typing import Any, Self

import psycopg
from psycopg import errors
from psycopg.pq import ConnStatus, TransactionStatus
from psycopg.waiting import wait_async

from django_loom.bridge import Lock, current_call, running_loop, suspend
from django_loom.exceptions import BridgeError

from .adapters import NotingAdapters
from .cancelling import cancel_in_thread, closed_pgconn, end_query
from .session import watching
from .waiting import GeneratorWait, readable

# Seconds that a cancelled query gets, to be cancelled in the server as well and to
# end there. A connection that takes longer is closed: its network has stalled.
CANCEL_TIMEOUT = 2.0
# What a reset restores, beside the handlers.
_RESTORED = (
    "row_factory",
    "cursor_factory",
    "server_cursor_factory",
    "prepare_threshold",
    "prepared_max",
    "isolation_level",
    "read_only",
    "deferrable",
    "_adapters",
)


class _Opener(psycopg.AsyncConnection[Any]):
    """Opens a connection on the loop, name resolution included, and gives it away."""

    def __del__(self, *args: Any) -> None:
        pass  # the protocol connection inside belongs to another object now


class LoomConnection(psycopg.Connection[Any]):
    """A connection for synchronous code, in threads and on event loops alike."""

    is_shared = False  # the pool's, so that others follow
    session_is_changed = False  # for those that follow
    _as_opened: tuple[dict[str, Any], tuple[Any, ...], tuple[Any, ...]] | None = None
    # The factories as they are when a session begins, to be compared. All else tells when it
    # is set; these are read for each cursor, where a property would cost more.
    begun_with: tuple[Any, Any, Any] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # psycopg holds its lock across a wait. Its own would block the thread for
        # ever when a second greenlet wants it; this one waits on the loop.
        self.lock = Lock()  # type: ignore[assignment]
        self._wait: weakref.ref[GeneratorWait] | None = None
        self._readable: Callable[[int], list[Any]] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._thread: int | None = None  # the one that waits for the server
        self._is_left = False  # by whoever closed it while a thread was waiting

    @classmethod
    def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        """Connect; parameters and errors are those of ``psycopg.connect()``."""
        if current_call() is None:
            connect: Any = super().connect
            if hasattr(psycopg.connect, "_self_wrapper"):
                # Such a tool has wrapped this one as well: it would see all queries twice.
                connect = getattr(connect, "__wrapped__", connect)
            connection: Self = connect(conninfo, **kwargs)
            return connection
        row_factory = kwargs.pop("row_factory", None)
        cursor_factory = kwargs.pop("cursor_factory", None)
        opened = suspend(_Opener.connect(conninfo, **kwargs))
        connection = cls(opened.pgconn)
        connection._autocommit = opened._autocommit
        connection._adapters = opened._adapters
        connection.prepare_threshold = opened.prepare_threshold
        if row_factory:
            connection.row_factory = row_factory
        if cursor_factory:
            connection.cursor_factory = cursor_factory
        return connection

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """Make a cursor that notes what changes the session; arguments are psycopg's."""
        cursor = super().cursor(*args, **kwargs)
        # Not by the factory, which is the user's to see.
        if self.is_shared:
            cursor.__class__ = watching(type(cursor))
        return cursor

    def watch(self, cursor: Any) -> None:
        """Let a cursor that somebody has made by its class note what changes the session."""
        if self.is_shared and isinstance(cursor, psycopg.Cursor):
            cursor.__class__ = watching(type(cursor))

    def note_as_opened(self) -> None:
        """Note what a reset makes of this object."""
        attributes = {name: getattr(self, name) for name in _RESTORED}
        self._as_opened = attributes, (*self._notice_handlers,), (*self._notify_handlers,)

    def restore_as_opened(self) -> None:
        """Undo what the user's code has set since, as the server's reset cannot."""
        if self._as_opened is None:
            return
        attributes, notice_handlers, notify_handlers = self._as_opened
        for name, value in attributes.items():
            setattr(self, name, value)
        self._notice_handlers, self._notify_handlers = [*notice_handlers], [*notify_handlers]
        if self._notifies_backlog:
            self._notifies_backlog.clear()
        # The reset ends what the server has prepared; psycopg does not always see that.
        self._prepared.clear()

    def begin_session(self) -> None:
        """Take everything as it is now for unchanged."""
        self._adapters = NotingAdapters(self.adapters, self)
        self.begun_with = self.row_factory, self.cursor_factory, self.server_cursor_factory
        self.session_is_changed = False

    def set_isolation_level(self, value: Any) -> None:
        """Set the isolation level of the transactions to come; see psycopg."""
        self.session_is_changed = True
        super().set_isolation_level(value)

    def set_read_only(self, value: bool | None) -> None:
        """Set whether the transactions to come only read; see psycopg."""
        self.session_is_changed = True
        super().set_read_only(value)

    def set_deferrable(self, value: bool | None) -> None:
        """Set whether the transactions to come are deferrable; see psycopg."""
        self.session_is_changed = True
        super().set_deferrable(value)

    @property
    def prepare_threshold(self) -> int | None:
        """After how many times a query is prepared; see psycopg."""
        return super().prepare_threshold

    @prepare_threshold.setter
    def prepare_threshold(self, value: int | None) -> None:
        self.session_is_changed = True
        self._prepared.prepare_threshold = value

    @property
    def prepared_max(self) -> int | None:
        """How many prepared queries there may be; see psycopg."""
        return super().prepared_max

    @prepared_max.setter
    def prepared_max(self, value: int | None) -> None:
        self.session_is_changed = True
        self._prepared.prepared_max = sys.maxsize if value is None else value

    def add_notice_handler(self, callback: Any) -> None:
        """Let a function have the server's notices; see psycopg."""
        self.session_is_changed = True
        super().add_notice_handler(callback)

    def remove_notice_handler(self, callback: Any) -> None:
        """Undo ``add_notice_handler()``; see psycopg."""
        self.session_is_changed = True
        super().remove_notice_handler(callback)

    def add_notify_handler(self, callback: Any) -> None:
        """Let a function have the notifications; see psycopg."""
        self.session_is_changed = True
        super().add_notify_handler(callback)

    def remove_notify_handler(self, callback: Any) -> None:
        """Undo ``add_notify_handler()``; see psycopg."""
        self.session_is_changed = True
        super().remove_notify_handler(callback)

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Consume a generator of psycopg's, on the loop if the caller runs on one."""
        call = current_call()
        if call is None:
            # See _is_left_to_its_thread().
            before, self._thread = self._thread, get_ident()
            try:
                return super().wait(gen, interval, timeout)
            finally:
                self._thread = before
                if self._is_left and before is None:
                    super().close()
        try:
            if timeout is not None:
                return suspend(wait_async(gen, self.pgconn.socket, interval, timeout))
            waiting = GeneratorWait(call.loop, gen, self.pgconn)
            # Weak, or the pool would keep a task alive that waits on a loop that is gone.
            self._wait = weakref.ref(waiting)
            try:
                return waiting.run()
            finally:
                self._wait = None
        except errors.Error:
            raise
        except BaseException:
            self._abandon(gen)
            raise

    def _is_left_to_its_thread(self) -> bool:
        """Leave the closing to a thread that waits for the server, if there is one.

        Code ends its transaction by closing the connection, as one that is cancelled twice →
        a thread of the transaction is in the midst of a statement, in the driver's C code,
        which reads on from freed memory → it gets an error instead, and closes.
        """
        if self._thread in (None, get_ident()):
            return False
        self._is_left = True
        cancel_in_thread(self.pgconn)
        self.shut_socket()
        return self._thread is not None  # else it has gone, perhaps without seeing that

    def shut_socket(self) -> None:
        """Have the driver find the connection lost where it waits for the server, or will."""
        with suppress(OSError, errors.Error):
            end = socket.socket(fileno=os.dup(self.pgconn.socket))
            with end:
                end.shutdown(socket.SHUT_RDWR)

    def _abandon(self, gen: Any) -> None:
        """Leave no query running in the server for a caller that is gone."""
        if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
            return
        try:
            suspend(self._end_query())
        except BridgeError:  # nothing can be awaited any more
            self._leave_query()
        except BaseException:
            self._leave_query()
            raise
        finally:
            with suppress(Exception):  # a pipeline's goes on where it is closed
                gen.close()

    async def _end_query(self) -> None:
        # A task of its own: a second cancellation of the caller must not stop the
        # first one on its way. AnyIO's cancel scopes cancel in each turn of the loop.
        self._ending = asyncio.ensure_future(end_query(self.pgconn, CANCEL_TIMEOUT))
        await asyncio.shield(self._ending)
        self._ending = None

    def _leave_query(self) -> None:
        """Be closed now; the server is told to end the query without us."""
        ending, self._ending = self._ending, None
        if self._pipeline is not None or ending is None:
            # A pipeline's end needs the protocol connection, and would wait for it.
            cancel_in_thread(self.pgconn)
        else:
            left, self.pgconn = self.pgconn, closed_pgconn()
            ending.add_done_callback(lambda _: left.finish())
        self.pgconn.finish()

    def close(self) -> None:
        """Close the connection; who waits for a query on it gets ``OperationalError``."""
        if self._is_left_to_its_thread():
            return
        waiting = None if self._wait is None else self._wait()
        busy = waiting or self._ending
        if busy is not None and running_loop() is not busy.get_loop():
            with suppress(RuntimeError):  # that loop has ended, and the wait with it
                busy.get_loop().call_soon_threadsafe(self.close)
                return
        if self._ending is not None:
            self._leave_query()
        if waiting is not None:
            # Before the socket goes: its number may serve another connection soon.
            waiting.fail()
        super().close()
        # A query that was cut short still has the lock, until its code goes on → who closes a
        # cursor meanwhile, perhaps where nothing can wait, would wait for that → a new one, for
        # all that can be done with a closed connection needs none.
        self.lock = Lock()  # type: ignore[assignment]

    def is_idle_in(self, autocommit: bool) -> bool:
        """Tell if the connection is open and in a mode, with no query, transaction or pipeline."""
        return (
            self._autocommit == autocommit
            and self.pgconn.transaction_status == TransactionStatus.IDLE
            and self._pipeline is None
        )

    def is_silent(self) -> bool:
        """Tell if the connection is open and the server has sent nothing.

        One system call without a wait. Between queries a socket is readable when the
        server has closed the connection, or has sent a farewell whose end is still
        on its way, or, very rarely, a notice: a connection is cheaper than a mistake.
        """
        if self.pgconn.status != ConnStatus.OK:
            return False
        if self._readable is None:
            # Once: a connection has one socket as long as it lives, and is asked at each taking.
            self._readable = readable(self.pgconn.socket)
        return not self._readable(0)
