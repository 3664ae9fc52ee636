"""``ENGINE = "django_loom.db.sqlite3"``."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from django.db.backends.sqlite3 import base

from django_loom.bridge import Lock
from django_loom.db import registry
from django_loom.db.pool_options import PoolOptions
from django_loom.db.pools import ConnectionPool
from django_loom.db.threaded import ThreadedDatabaseMixin, ThreadedEngine

from .connection import SQLiteConnection
from .writing import WritingCursor, WritingDebugCursor

_writers: WeakKeyDictionary[ConnectionPool, Lock] = WeakKeyDictionary()


class SQLiteEngine(ThreadedEngine):
    """SQLite in a thread of the connection's own."""

    cursors_stay_open = False

    def is_idle(self, connection: Any, autocommit: bool) -> bool:
        """Tell if the connection has no transaction open, and no call running."""
        return super().is_idle(connection, autocommit) and not connection.in_transaction

    def session_is_changed(self, connection: Any) -> bool:
        """Tell if a statement such as a PRAGMA, or code that uses sqlite3, has changed it."""
        return bool(getattr(connection, "session_is_changed", False))

    def session_begins(self, connection: Any) -> None:
        """Take the session as it is now for unchanged."""
        connection.begin_session()

    def reset_transaction(self, connection: Any) -> bool:
        """Roll back what a cancelled call left; its thread does so before all else."""
        try:
            connection.post_reset()
        except RuntimeError:  # the thread has ended, with the connection or the interpreter
            return False
        return True


class MemoryEngine(SQLiteEngine):
    """A database in memory, which ends with its connection."""

    can_reset_session = True

    def reset_session(self, connection: Any) -> None:
        """Undo what is on the driver's object, and two settings; the rest cannot be undone."""
        connection.restore_as_opened()
        connection.execute("PRAGMA query_only = OFF")
        connection.execute("PRAGMA foreign_keys = ON")


class DatabaseWrapper(ThreadedDatabaseMixin, base.DatabaseWrapper):
    """Django's SQLite backend; on a loop, its calls run in a thread."""

    connection_attributes = ("transaction_mode",)
    connection_class = SQLiteConnection
    cursor_class: ClassVar[type] = WritingCursor
    debug_cursor_class: ClassVar[type] = WritingDebugCursor
    connection: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.engine = MemoryEngine() if self.is_in_memory_db() else SQLiteEngine()  # type: ignore[misc]

    def adapt_pool_options(self, options: PoolOptions) -> PoolOptions:
        """Keep one connection for ever if it is the database, as one in memory is."""
        if not self.is_in_memory_db():
            return options
        return replace(options, min_size=1, max_size=1, max_idle=math.inf, max_lifetime=math.inf)

    @property
    def pools_in_threads(self) -> bool:
        """Whether connections of plain threads come from the pool.

        Not those to a database in memory that connections share, as that of Django's
        test runner. Nobody closes it there, and the pool has only that one.
        """
        return super().pools_in_threads and not self._is_shared_in_memory()

    def _is_shared_in_memory(self) -> bool:
        return self.is_in_memory_db() and "cache=shared" in str(self.settings_dict["NAME"])

    def _set_autocommit(self, autocommit: bool) -> None:
        # An attribute that the user's code sets is a change of the session.
        if not isinstance(self.connection, SQLiteConnection):
            super()._set_autocommit(autocommit)
            return
        with self.wrap_database_errors:
            self.connection.set_autocommit(autocommit)

    def writers(self) -> Lock | None:
        """Return the mutex of those who write: SQLite has one writer at a time.

        A transaction that reads, and then finds that another one writes, gets "database is
        locked" at once, whatever its timeout. Django's threads rarely meet so; tasks do.
        """
        if not self.leased or self.is_in_memory_db():
            return None
        pool = registry.get(self)
        lock = _writers.get(pool)
        if lock is None:
            lock = _writers.setdefault(pool, Lock())
        return lock
