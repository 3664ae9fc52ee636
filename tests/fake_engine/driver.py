"""A DB-API driver in plain Python, over sqlite3: statements wait while its gate is shut."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.backends.sqlite3.base import SQLiteCursorWrapper


class Gate:
    """Injects latency that ends when the test says so."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()
        self._lock = threading.Lock()
        self.waiting = 0
        self.threads: list[int] = []

    @contextmanager
    def shut(self) -> Iterator[None]:
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def open(self) -> None:
        self._open.set()

    def go_through(self) -> None:
        self.threads.append(threading.get_ident())
        with self._lock:
            self.waiting += 1
        self._open.wait()
        with self._lock:
            self.waiting -= 1


gate = Gate()


class Cursor:
    """Has only what PEP 249 asks for."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor
        self.arraysize = 1

    @property
    def description(self) -> Any:
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        return self._cursor.lastrowid

    def execute(self, sql: str, params: Any = None) -> Cursor:
        gate.go_through()
        self._cursor.execute(sql, params)
        return self

    def executemany(self, sql: str, params: Any) -> None:
        gate.go_through()
        self._cursor.executemany(sql, params)

    def fetchone(self) -> Any:
        return self._cursor.fetchone()

    def fetchmany(self, size: int | None = None) -> list[Any]:
        return self._cursor.fetchmany(self.arraysize if size is None else size)

    def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()

    def close(self) -> None:
        self._cursor.close()


class Connection:
    """Has no `interrupt()`: what runs cannot be cancelled."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.opened_in = threading.get_ident()

    @property
    def isolation_level(self) -> str | None:
        return self._connection.isolation_level

    @isolation_level.setter
    def isolation_level(self, value: str | None) -> None:
        self._connection.isolation_level = value

    def cursor(self) -> Cursor:
        return Cursor(self._connection.cursor(factory=SQLiteCursorWrapper))

    def getlimit(self, category: int) -> int:
        return self._connection.getlimit(category)  # not PEP 249's; the backend asks for it

    def commit(self) -> None:
        self._connection.commit()

    def rollback(self) -> None:
        self._connection.rollback()

    def close(self) -> None:
        self._connection.close()
