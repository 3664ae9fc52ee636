"""psycopg's connection, waiting on the event loop when called below ``run_sync()``.

psycopg writes its protocol as generators that yield when they would block; one
method, ``Connection.wait()``, consumes them. Overriding it makes every operation
of the connection wait on the loop, and leaves the rest of psycopg whole.
"""

from __future__ import annotations

import asyncio
import os
import socket
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

from .cancelling import cancel_in_thread, closed_pgconn, end_query
from .session_noting import SessionNotingConnection
from .waiting import GeneratorWait, readable

# Seconds that a cancelled query gets, to be cancelled in the server as well and to
# end there. A connection that takes longer is closed: its network has stalled.
CANCEL_TIMEOUT = 2.0


class _Opener(psycopg.AsyncConnection[Any]):
    """Opens a connection on the loop, name resolution included, and gives it away."""

    def __del__(self, *args: Any) -> None:
        pass  # the protocol connection inside belongs to another object now


class LoomConnection(SessionNotingConnection):
    """A connection for synchronous code, in threads and on event loops alike."""

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
