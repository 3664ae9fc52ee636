"""The entry of DATABASES: SQLite, or the PostgreSQL that ``DATABASE_URL`` names."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

POOL = {"min_size": 1, "max_size": 10, "timeout": 10}

# Readers and the one writer do not wait for each other, and a transaction asks for the
# right to write when it begins: one that asks later cannot wait for another, only fail.
SQLITE = {
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    "transaction_mode": "IMMEDIATE",
    "timeout": 10,
}


def database(url: str, folder: Path) -> dict[str, Any]:
    """Return the settings of the database.

    :param url: ``postgres://user:password@host:port/name?option=value``, or nothing for SQLite.
    :param folder: where the file of SQLite belongs.
    :raises ImproperlyConfigured: the URL is not one of PostgreSQL.
    """
    if url:
        return _postgresql(url)
    return {
        "ENGINE": "django_loom.db.sqlite3",
        "NAME": str(folder / "academy.sqlite3"),
        "OPTIONS": {**SQLITE, "pool": POOL},
    }


def _postgresql(url: str) -> dict[str, Any]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _wrong("its host or its port cannot be read") from None
    name = unquote(parts.path.removeprefix("/"))
    if parts.scheme not in ("postgres", "postgresql") or not name:
        raise _wrong(f"its scheme is {parts.scheme!r} and its name {name!r}")
    return {
        "ENGINE": "django_loom.db.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(port or ""),
        "OPTIONS": {**dict(parse_qsl(parts.query)), "pool": POOL},
    }


def _wrong(reason: str) -> ImproperlyConfigured:
    # Neither the URL nor its fault is shown: there is a password in it.
    return ImproperlyConfigured(
        "DATABASE_URL must be postgres://user:password@host:port/name, or be left out for "
        f"SQLite; {reason}."
    )
