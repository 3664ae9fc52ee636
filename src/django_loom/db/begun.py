"""What code has begun on the connections of its thread that other code must not be in."""

from __future__ import annotations

from typing import Any

from django.db import connections

from .storage import ConnectionStorage
from .wrapper import LoomDatabaseMixin


def begun_in_thread() -> int:
    """Count blocks, transactions without a block, and wrappers of statements."""
    storage = connections._connections
    if not isinstance(storage, ConnectionStorage):  # not before the app is ready
        return 0
    return sum(_begun_on(connection) for connection in storage.made())


def _begun_on(connection: Any) -> int:
    count: int = len(connection.execute_wrappers)
    if connection.connection is None:
        return count
    count += connection.in_atomic_block + len(connection.savepoint_ids)
    return count + (not connection.autocommit or _is_busy(connection))


def _is_busy(connection: Any) -> bool:
    """Tell if a statement has begun a transaction, with autocommit on."""
    if not isinstance(connection, LoomDatabaseMixin):
        return False
    return not connection.engine.is_idle(connection.connection, autocommit=True)
