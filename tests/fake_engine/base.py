"""Django's SQLite backend, with the blocking driver below it."""

from __future__ import annotations

from typing import Any

from django.db.backends.sqlite3 import base

from .driver import Connection


class DatabaseWrapper(base.DatabaseWrapper):
    display_name = "Fake"

    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection:
        return Connection(super().get_new_connection(conn_params))

    def create_cursor(self, name: str | None = None) -> Any:
        return self.connection.cursor()
