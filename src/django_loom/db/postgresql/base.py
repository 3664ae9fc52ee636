"""``ENGINE = "django_loom.db.postgresql"``."""

from __future__ import annotations

import math
import os
from types import ModuleType
from typing import Any

import psycopg
from django.db.backends.postgresql import base
from psycopg.pq import TransactionStatus

from django_loom.db import registry
from django_loom.db.cursors import LeasedCursorMixin
from django_loom.db.holders import pass_over
from django_loom.db.wrapper import LoomDatabaseMixin

from .connection import LoomConnection

# Where a limit of the user's own may stand; otherwise psycopg's is 130 seconds.
_LIMITS_CONNECTING = {"connect_timeout", "service", "PGCONNECT_TIMEOUT", "PGSERVICE"}
_LONGEST_CONNECTING = 130

pass_over(psycopg)


class _Psycopg(ModuleType):
    """The psycopg module, except that it connects with our class."""

    connect = LoomConnection.connect

    def __getattr__(self, name: str) -> Any:
        return getattr(psycopg, name)


class LeasedDebugCursor(LeasedCursorMixin, base.CursorDebugWrapper):
    """The PostgreSQL backend's cursor wrapper that logs queries."""


class PostgreSQLMixin(LoomDatabaseMixin):
    """What the engines for PostgreSQL, with and without PostGIS, share."""

    Database = _Psycopg("psycopg")
    connection_attributes = ("autocommit", "isolation_level")
    debug_cursor_class = LeasedDebugCursor
    connection: Any

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
        if self.slot is not None and _LIMITS_CONNECTING.isdisjoint([*conn_params, *os.environ]):
            limit = math.ceil(min(self.lease_timeout, _LONGEST_CONNECTING))
            conn_params = {**conn_params, "connect_timeout": max(limit, 1)}
        return super().get_new_connection(conn_params)

    def connection_is_idle(self) -> bool:
        """Tell if the connection is open, with no query and no transaction."""
        # The mode may differ from what we believe, if its change was cut short: what the
        # next user writes would then never be committed.
        return bool(self.connection.is_idle and self.connection.autocommit == self.autocommit)

    def transaction_is_usable(self) -> bool:
        """Tell if the transaction can be rolled back: no query is running."""
        return self.connection.pgconn.transaction_status in (
            TransactionStatus.IDLE,
            TransactionStatus.INTRANS,
            TransactionStatus.INERROR,
        )

    def connection_seems_alive(self) -> bool:
        """Tell if the server has not closed the connection, nor said that it will."""
        return bool(self.connection.is_silent())


class DatabaseWrapper(PostgreSQLMixin, base.DatabaseWrapper):
    """Django's PostgreSQL backend, with queries that wait on the event loop."""
