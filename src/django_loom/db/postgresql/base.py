"""``ENGINE = "django_loom.db.postgresql"``."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import psycopg
from django.db.backends.postgresql import base
from django.db.backends.utils import CursorWrapper
from psycopg.pq import TransactionStatus

from django_loom.db import registry
from django_loom.db.cursors import LeasedCursorMixin
from django_loom.db.engine import Engine
from django_loom.db.holders import pass_over
from django_loom.db.wrapper import LoomDatabaseMixin

from .connection import LoomConnection

# Where a limit of the user's own may stand; otherwise psycopg's is 130 seconds.
_LIMITS_CONNECTING = {"connect_timeout", "service", "PGCONNECT_TIMEOUT", "PGSERVICE"}
_LONGEST_CONNECTING = 130

pass_over("psycopg")

_cursor_numbers = itertools.count(1)


class _Psycopg(ModuleType):
    """The psycopg module, except that it connects with our class."""

    def __getattr__(self, name: str) -> Any:
        return getattr(psycopg, name)

    @staticmethod
    def connect(*args: Any, **kwargs: Any) -> Any:
        """Connect; a tool that has wrapped ``psycopg.connect`` sees it."""
        wrapper = getattr(psycopg.connect, "_self_wrapper", None)
        if wrapper is None:
            return LoomConnection.connect(*args, **kwargs)
        # A function wrapper of the library wrapt, which tracing tools use, calls what it
        # is given: its own would connect with psycopg's class, and block.
        return wrapper(LoomConnection.connect, None, args, kwargs)


class PostgreSQLEngine(Engine):
    """psycopg's connection knows the state of its session and transaction."""

    can_reset_session = True

    def ends_with_transaction(self, cursor: Any) -> bool:
        """Tell if the server has closed a driver's cursor at the end of its transaction."""
        return not getattr(cursor, "withhold", True)

    def is_idle(self, connection: Any, autocommit: bool) -> bool:
        """Tell if the connection is open, with no query, no transaction and no pipeline."""
        # The mode may differ from what we believe, if its change was cut short: what the
        # next user writes would then never be committed.
        return connection.is_idle_in(autocommit)  # type: ignore[no-any-return]

    def transaction_is_usable(self, connection: Any) -> bool:
        """Tell if the transaction can be rolled back: no query is running."""
        return connection.pgconn.transaction_status in (
            TransactionStatus.IDLE,
            TransactionStatus.INTRANS,
            TransactionStatus.INERROR,
        )

    def seems_alive(self, connection: Any) -> bool:
        """Tell if the server has not closed the connection, nor said that it will."""
        return connection.is_silent()  # type: ignore[no-any-return]

    def is_open(self, connection: Any) -> bool:
        """Tell if nobody has closed the driver's connection itself."""
        return not connection.closed

    def session_is_changed(self, connection: Any) -> bool:
        """Tell if a statement such as SET, or code that uses psycopg, has changed the session."""
        return connection.session_is_changed or connection.factories_are_changed  # type: ignore[no-any-return]

    def session_begins(self, connection: Any) -> None:
        """Take the session as it is now for unchanged."""
        connection.is_shared = True
        connection.begin_session()

    def reset_session(self, connection: Any) -> None:
        """Forget settings, locks, channels, temporary tables and prepared statements."""
        connection.restore_as_opened()
        with connection.cursor() as cursor:
            cursor.execute("DISCARD ALL")

    def close_unused(self, cursor: Any) -> None:
        """Close a cursor that has run nothing: psycopg's for the server would ask that for it."""
        psycopg.Cursor.close(cursor)

    def cut_off(self, connection: Any) -> None:
        """Let whoever waits for the server on the connection fail, in whatever thread."""
        connection.shut_socket()


class PostgreSQLCursorMixin(LeasedCursorMixin):
    """Moves to the present connection for what psycopg has beside ``execute()``, too."""

    @contextmanager
    def copy(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Copy rows to or from the server; see psycopg."""
        with self.kept():
            start = getattr(super(), "copy", self.cursor.copy)  # the debug cursor's logs it
            with start(*args, **kwargs) as copy:
                yield copy

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Run a query, and take its rows one by one from the server; see psycopg."""
        with self.kept():
            yield from self.cursor.stream(*args, **kwargs)


class PostgreSQLCursor(PostgreSQLCursorMixin, CursorWrapper):
    """Django's cursor wrapper, following its lease."""


class LeasedDebugCursor(PostgreSQLCursorMixin, base.CursorDebugWrapper):
    """The PostgreSQL backend's cursor wrapper that logs queries."""


class PostgreSQLMixin(LoomDatabaseMixin):
    """What the engines for PostgreSQL, with and without PostGIS, share."""

    Database = _Psycopg("psycopg")
    connection_attributes = ("isolation_level",)
    engine = PostgreSQLEngine()
    cursor_class = PostgreSQLCursor
    debug_cursor_class = LeasedDebugCursor
    connection: Any

    def chunked_cursor(self) -> Any:
        """Make a server-side cursor, whose name is its own: units share connections."""
        if self.leased:
            self._named_cursor_idx = next(_cursor_numbers)
        cursor = super().chunked_cursor()
        if self.leased:
            self.connection.watch(cursor.cursor)  # Django makes it by its class, not by cursor()
        return cursor

    @property
    def pool(self) -> Any:
        """Django's own pool, for a copy of a connection; see ``django_loom.pool()``."""
        return None if self.managed else super().pool

    def close_pool(self) -> None:
        """Close the pool of this database; the next query opens another."""
        if self.managed:
            registry.close(self.alias)
        else:
            super().close_pool()

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect; for the pool, within its timeout unless the settings have a limit."""
        if self.opening_slot is not None and _LIMITS_CONNECTING.isdisjoint(
            [*conn_params, *os.environ]
        ):
            limit = math.ceil(min(self.lease_timeout, _LONGEST_CONNECTING))
            conn_params = {**conn_params, "connect_timeout": max(limit, 1)}
        return super().get_new_connection(conn_params)

    def init_connection_state(self) -> None:
        """Begin a session; see Django's ``BaseDatabaseWrapper``."""
        # Before the receivers of connection_created, which a reset sends as well.
        if self.leased:
            self.connection.note_as_opened()
        super().init_connection_state()


class DatabaseWrapper(PostgreSQLMixin, base.DatabaseWrapper):
    """Django's PostgreSQL backend, with queries that wait on the event loop."""
