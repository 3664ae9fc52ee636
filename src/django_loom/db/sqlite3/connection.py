"""SQLite's connection in its thread: rows are read ahead, changes of the session noted."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import Any

from django_loom.db.driver_thread import DriverThread, ThreadedConnection, ThreadedCursor

# What holds for the connection after its statement, and would be seen by its next user.
_CHANGES_SESSION = re.compile(
    r"\s*(?:pragma\s+[\w.]+\s*=|attach\b|detach\b|create\s+temp)", re.IGNORECASE
)


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

    def execute(self, sql: Any, *args: Any) -> SQLiteCursor:
        """Run a statement, and fetch its rows."""
        if isinstance(sql, str) and _CHANGES_SESSION.match(sql):
            self._connection.note_change()
        object.__setattr__(self, "_rows", self._in_thread(self._run)(sql, *args))
        return self

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
    """A connection of sqlite3 in a thread of its own."""

    session_is_changed = False

    def note_change(self) -> None:
        """Note that a statement changes the session."""
        object.__setattr__(self, "session_is_changed", True)

    def begin_session(self) -> None:
        """Take the session as it is now for unchanged."""
        object.__setattr__(self, "session_is_changed", False)

    def cursor(self, *args: Any, **kwargs: Any) -> SQLiteCursor:
        """Make a cursor; arguments are the driver's."""
        target = self._thread.run(self._target.cursor, *args, **kwargs)
        return SQLiteCursor(target, self._thread, self)
