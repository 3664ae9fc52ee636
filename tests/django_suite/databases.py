"""The DATABASES settings of each child, and what is left of its databases afterwards."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .modes import Mode, engine
from .server import add_stand_ins, fingerprint, lend_extensions

if TYPE_CHECKING:
    from psycopg import Connection

    from tests.services import PrivatePostgres

ALIASES = ("default", "other")


@dataclass
class Databases:
    """Makes settings with database names of their own for each mode and slot."""

    kind: str
    server: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""

    def settings(self, mode: Mode, slot: int) -> dict[str, dict[str, Any]]:
        return {alias: self._alias_settings(mode, slot, alias) for alias in ALIASES}

    def _alias_settings(self, mode: Mode, slot: int, alias: str) -> dict[str, Any]:
        settings: dict[str, Any] = {"ENGINE": engine(self.kind, mode)}
        if self.kind == "postgresql":
            name = f"{_prefix()}{mode.letter}{slot}_{alias}"
            settings |= self.server | {"TEST": {"NAME": name}}
        return settings


@contextmanager
def provide(kind: str) -> Iterator[Databases]:
    """Databases of ``kind`` for the time of the block; for PostgreSQL, a running server."""
    if kind == "sqlite":
        yield Databases(kind)
        return
    from tests.services import PrivatePostgres, postgres

    with postgres() as running:
        if isinstance(running, PrivatePostgres):
            _complete(running)
        server = running.django()
        try:
            yield Databases(kind, server, _fingerprint(server))
        finally:
            _drop_leftovers(server)


def _complete(running: "PrivatePostgres") -> None:
    with _connect(running.django()) as connection:
        lend_extensions(connection, running.folder / "contrib")
    running.restart()
    with _connect(running.django(NAME="template1")) as connection:
        add_stand_ins(connection)


def _fingerprint(server: dict[str, Any]) -> str:
    with _connect(server) as connection:
        return fingerprint(connection)


def _prefix() -> str:
    return f"loom_suite_{os.getpid()}_"


def _drop_leftovers(server: dict[str, Any]) -> None:
    """Drop the databases of killed children: the server may be somebody's own."""
    query = "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
    with _connect(server) as connection:
        for (name,) in connection.execute(query, [_prefix()]).fetchall():
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _connect(server: dict[str, Any]) -> "Connection[Any]":
    import psycopg  # SQLite does without

    return psycopg.connect(
        autocommit=True,
        host=server["HOST"],
        port=server["PORT"],
        user=server["USER"],
        password=server["PASSWORD"],
        dbname=server["NAME"],
    )
