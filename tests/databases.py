"""Makes the test databases, and empties their tables between tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.core.management.color import no_style
from django.db import connections
from django.test.utils import setup_databases
from psycopg import sql

from tests.services import Postgres

KEPT = {"django_content_type", "auth_permission"}  # filled when the tables are made

RESTART_SEQUENCES = """
    SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
    FROM pg_sequences WHERE last_value IS NOT NULL
"""


@contextmanager
def postgres_databases(server: Postgres, aliases: list[str]) -> Iterator[None]:
    """The databases of the aliases, made on the server and dropped at the end."""
    for alias in aliases:
        database: dict[str, Any] = settings.DATABASES[alias]
        database.update(server.django(NAME=database["NAME"]))
    try:
        _make(aliases)
        yield
    finally:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            for alias in aliases:
                # Django's own teardown would wait for connections that a failed test left open.
                name = sql.Identifier(settings.DATABASES[alias]["NAME"])
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


def sqlite_database(path: Path, alias: str) -> None:
    settings.DATABASES[alias]["TEST"]["NAME"] = str(path)
    _make([alias])


class PostgresTables:
    """Empties the tables over connections of its own: a pool in a bad state does not matter."""

    def __init__(self, server: Postgres, aliases: Iterable[str], patience: str = "5s") -> None:
        self._connections = {
            settings.DATABASES[alias]["NAME"]: psycopg.connect(
                server.dsn, dbname=settings.DATABASES[alias]["NAME"], autocommit=True
            )
            for alias in aliases
        }
        for connection in self._connections.values():
            connection.execute(sql.SQL("SET lock_timeout = {}").format(patience))
        self._position = self._end_of_log()

    def empty(self) -> None:
        """Empty what has rows, if anything was written since the last time.

        :raises AssertionError: when a transaction is open, though nothing was written in it.
        """
        if self._end_of_log() == self._position and not self._is_in_transaction():
            return
        for name, connection in self._connections.items():
            try:
                with connection.transaction():
                    _lock_and_truncate(connection, _tables())
            except psycopg.errors.LockNotAvailable as error:
                raise AssertionError(f"the test left a transaction open on {name!r}") from error
        self._position = self._end_of_log()

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def _end_of_log(self) -> Any:
        # A change of any row moves it at once, committed or not. So may the server itself, now and
        # then: then the tables are looked at for nothing.
        return self._ask("SELECT pg_current_wal_insert_lsn()")

    def _is_in_transaction(self) -> Any:
        return self._ask(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE xact_start IS NOT NULL AND datname = ANY(%s) AND pid <> pg_backend_pid()",
            list(self._connections),
        )

    def _ask(self, query: str, *parameters: Any) -> Any:
        connection = next(iter(self._connections.values()))
        row = connection.execute(query, parameters).fetchone()
        return row and row[0]


def _lock_and_truncate(connection: psycopg.Connection, tables: list[str]) -> None:
    # Truncating costs 30 ms for all tables, so only those that have rows; looking costs 3 ms.
    names = {table: sql.Identifier(table) for table in tables}
    connection.execute(sql.SQL("LOCK TABLE {}").format(sql.SQL(", ").join(names.values())))
    has_rows = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})").format(sql.Literal(table), name)
        for table, name in names.items()
    )
    if full := [names[table] for (table,) in connection.execute(has_rows)]:
        truncate = sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE")
        connection.execute(truncate.format(sql.SQL(", ").join(full)))
    # A table whose rows were deleted or rolled back is empty, and its next row not number 1.
    connection.execute(RESTART_SEQUENCES)


def empty_sqlite(alias: str) -> None:
    connection = connections[alias]
    flush = connection.ops.sql_flush(no_style(), _tables(), reset_sequences=True)
    connection.ops.execute_sql_flush(flush)
    connection.close()


def _make(aliases: list[str]) -> None:
    setup_databases(verbosity=0, interactive=False, aliases=aliases)
    for alias in aliases:
        connections[alias].close()


def _tables() -> list[str]:
    names = connections["default"].introspection.django_table_names(include_views=False)
    return sorted(set(names) - KEPT)
