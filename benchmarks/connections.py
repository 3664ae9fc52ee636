"""How libraries are told where the database is.

Imports nothing: it is read in the processes that are measured.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def django_pool(size: int, timeout: int = 30) -> dict[str, Any]:
    """`OPTIONS["pool"]` with so many connections."""
    return {"min_size": size, "max_size": size, "timeout": timeout}


def django_database(
    target: Mapping[str, Any], engine: str, pool: dict[str, Any] | None
) -> dict[str, Any]:
    """An entry of DATABASES; without a pool each thread keeps a connection."""
    return {
        "ENGINE": engine,
        "NAME": target["dbname"],
        "HOST": target["host"],
        "PORT": str(target["port"]),
        "USER": target["user"],
        "PASSWORD": target["password"],
        "CONN_MAX_AGE": 0 if pool else None,
        "OPTIONS": {"pool": pool} if pool else {},
    }


def asyncpg_arguments(target: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of asyncpg's `connect()`."""
    return {
        "host": target["host"],
        "port": target["port"],
        "user": target["user"],
        "password": target["password"] or None,
        "database": target["dbname"],
    }
