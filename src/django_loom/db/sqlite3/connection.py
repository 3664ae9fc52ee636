"""SQLite's connection in its thread: rows are read ahead, changes of the session noted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from django_loom.db.driver_thread import DriverThread, ThreadedConnection, ThreadedCursor

from .session import changes_session

# Methods of the driver's connection that leave the session as it is. Others may change it, also
# those of a later Python, or of a class of the user's.
_HARMLESS = frozenset(
    {
        "backup",
        "commit",
        "getconfig",
        "getlimit",
        "interrupt",
        "iterdump",
        "rollback",
        "serialize",
    }
)
# What a reset restores, beside the mode and the handlers; the first is of Python 3.12.
_RESTORED = ("autocommit", "row_factory", "text_factory")


class SQLiteCursor(ThreadedCursor):
    """A cursor that reads all rows with its statement, in one trip to the thread.

    A statement that is half read keeps a lock on the database: the code that reads it,
    or other tasks, could not write.
    """

    _rows: deque[Any]
    _connection: SQLiteConnection

    def __init__(self, target: Any, thread: DriverThread, connection: SQLiteConnection) -> None:
        super().__init__(target, thread)
        object.__setattr__(self, "_rows", deque())
        object.__setattr__(self, "_connection", connection)

    def __getattr__(self, name: str) -> Any:
        return self._target.row_factory if name == "row_factory" else super().__getattr__(name)

    @property
    def connection(self) -> SQLiteConnection:
        """The connection, in its thread as well."""
        return self._connection

    def execute(self, sql: Any, *args: Any) -> SQLiteCursor:
        """Run a statement, and fetch its rows."""
        self._note(sql)
        object.__setattr__(self, "_rows", self._in_thread(self._run)(sql, *args))
        return self

    def executemany(self, sql: Any, *args: Any) -> Any:
        """Run a statement with each of some parameters."""
        self._note(sql)  # SQLite does what a PRAGMA says before the driver refuses it here
        return self._in_thread(self._target.executemany)(sql, *args)

    def executescript(self, *args: Any) -> Any:
        """Run statements, of which any may change the session."""
        self._connection.note_change()
        return self._in_thread(self._target.executescript)(*args)

    def _note(self, sql: Any) -> None:
        if isinstance(sql, str) and changes_session(sql):
            self._connection.note_change()

    def _run(self, *args: Any) -> deque[Any]:
        target = self._target
        target.execute(*args)
        return deque(() if target.description is None else target.fetchall())

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        return self._rows.popleft() if self._rows else None

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return the next rows."""
        wanted = self._target.arraysize if size is None else size
        return [self._rows.popleft() for _ in range(min(wanted, len(self._rows)))]

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        rows = list(self._rows)
        self._rows.clear()
        return rows

    def __iter__(self) -> Iterator[Any]:
        while self._rows:
            yield self._rows.popleft()


class SQLiteConnection(ThreadedConnection):
    """A connection of sqlite3 in a thread of its own.

    Whatever may change its session is noted before it is done.
    """

    session_is_changed = False
    _as_opened: dict[str, Any]
    _opened_in_autocommit: bool | None = None

    @classmethod
    def open(cls, connect: Callable[[], Any], name: str) -> ThreadedConnection:
        """Connect in a new thread, and note there what a reset restores."""
        as_opened = {}

        def connect_and_note() -> Any:
            target = connect()
            for attribute in _RESTORED:
                if hasattr(target, attribute):
                    as_opened[attribute] = getattr(target, attribute)
            return target

        connection = super().open(connect_and_note, name)
        object.__setattr__(connection, "_as_opened", as_opened)
        return connection

    def note_change(self) -> None:
        """Note that something changes the session."""
        object.__setattr__(self, "session_is_changed", True)

    def begin_session(self) -> None:
        """Take the session as it is now for unchanged."""
        object.__setattr__(self, "session_is_changed", False)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if name in ("row_factory", "text_factory") or isinstance(value, type):
            return value  # no methods; code puts them back, or catches exceptions by them
        if not callable(value):
            return value
        in_thread = self._in_thread(value)
        return in_thread if name in _HARMLESS else self._noting(in_thread)

    def _noting(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.note_change()
            return method(*args, **kwargs)

        return call

    def __setattr__(self, name: str, value: Any) -> None:
        self.note_change()
        super().__setattr__(name, value)

    def set_autocommit(self, autocommit: bool) -> None:
        """Begin or end autocommit mode for Django, whose lease has a note of that.

        The first time is when it connects, with the mode of the settings.
        """
        if self._opened_in_autocommit is None:
            object.__setattr__(self, "_opened_in_autocommit", autocommit)
        super().__setattr__("isolation_level", None if autocommit else "")

    def post_reset(self) -> None:
        """Roll back, and return to the mode of the settings, before whatever comes next."""
        self._thread.post(self._reset_transaction)

    def _reset_transaction(self) -> None:
        self._target.rollback()
        # A unit has left autocommit off → the next write would begin a transaction, which nobody
        # commits. Not before the rollback: to turn it on commits what is open.
        if self._opened_in_autocommit:
            self._target.isolation_level = None

    def restore_as_opened(self) -> None:
        """Undo what code has set on the driver's object, and begin in autocommit mode."""
        self._thread.run(self._restore)

    def _restore(self) -> None:
        target = self._target
        target.set_authorizer(None)
        target.set_trace_callback(None)
        target.set_progress_handler(None, 0)
        for name, value in self._as_opened.items():
            setattr(self._target, name, value)
        target.rollback()
        target.isolation_level = None

    def cursor(self, *args: Any, **kwargs: Any) -> SQLiteCursor:
        """Make a cursor; arguments are the driver's."""
        target = self._thread.run(self._target.cursor, *args, **kwargs)
        return SQLiteCursor(target, self._thread, self)

    def execute(self, *args: Any) -> SQLiteCursor:
        """Run a statement on a cursor of its own."""
        return self.cursor().execute(*args)

    def executemany(self, *args: Any) -> Any:
        """Run a statement with each of some parameters, on a cursor of its own."""
        return self.cursor().executemany(*args)

    def executescript(self, *args: Any) -> Any:
        """Run statements on a cursor of its own."""
        return self.cursor().executescript(*args)

    def _close_target(self) -> None:
        # Closed in a transaction, as where its ROLLBACK was cancelled, while somebody still has a
        # statement → SQLite keeps connection and lock until that is freed (sqlite3_close_v2) →
        # writers wait until the collector comes by → it is rolled back first.
        with suppress(Exception):
            self._target.rollback()
        self._target.close()
