"""The process's connection pools, and database wrappers that no call uses now."""

from __future__ import annotations

import atexit
import os
import threading
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any

from django.core.signals import setting_changed
from django.db import DEFAULT_DB_ALIAS, connections

from django_loom.bridge import SyncCall
from django_loom.exceptions import EngineNotSupported

from .pools import ConnectionPool

if TYPE_CHECKING:
    from .wrapper import LoomDatabaseMixin

# A wrapper costs about as much to make as a query's compilation, so calls pass
# them on. As many as calls ever ran at once, up to this.
_MAX_PARKED = 1000

# Reentrant, for the garbage collector may end a call while it is held.
_lock = threading.RLock()
_pools: dict[str, tuple[str, ConnectionPool]] = {}
_parked: defaultdict[str, deque[LoomDatabaseMixin]] = defaultdict(lambda: deque(maxlen=_MAX_PARKED))
_inherited_from_parent: list[Any] = []


def pool(alias: str = DEFAULT_DB_ALIAS) -> ConnectionPool:
    """Return the connection pool of a database of ``settings.DATABASES``.

    :raises EngineNotSupported: its ENGINE is not one of django-loom's.
    """
    connection = connections[alias]
    if not hasattr(connection, "pool_options"):
        raise EngineNotSupported(
            f"DATABASES[{alias!r}] has no pool: its ENGINE is "
            f"{connection.settings_dict['ENGINE']!r}, not one of django_loom.db."
        )
    return get(connection)


def get(connection: LoomDatabaseMixin) -> ConnectionPool:
    """Return the pool of the wrapper's database, opening it the first time."""
    alias, name = connection.alias, connection.settings_dict["NAME"]
    known = _pools.get(alias)
    if known is not None and _serves(known, name):
        return known[1]
    with _lock:
        known = _pools.get(alias)
        if known is not None and _serves(known, name):
            return known[1]
        options = connection.adapt_pool_options(connection.pool_options)
        made = ConnectionPool(alias, options, connection.close_connection)
        _pools[alias] = name, made
    if known is not None:
        known[1].close()
    return made


def _serves(known: tuple[str, ConnectionPool], name: str) -> bool:
    """Tell if the pool is open, and of this database: the test runner renames those."""
    return known[0] == name and not known[1].is_closed


def pools() -> list[ConnectionPool]:
    """Return every pool that the process has now."""
    return [known[1] for known in list(_pools.values())]


def close(alias: str) -> None:
    """Close the pool of a database, if there is one."""
    with _lock:
        known = _pools.pop(alias, None)
    if known is not None:
        known[1].close()


def close_all() -> None:
    """Close every pool of the process. The next query opens another."""
    for alias in list(_pools):
        close(alias)


def park(connection: LoomDatabaseMixin) -> None:
    """Keep a wrapper for the next call that needs one."""
    connection.owner = None
    connection.generation += 1
    _parked[connection.alias].append(connection)


def adopt(alias: str, call: SyncCall) -> LoomDatabaseMixin | None:
    """Return a parked wrapper, now the call's, or None if there is none."""
    parked = _parked.get(alias)
    while parked:
        try:
            connection = parked.pop()
        except IndexError:  # another thread took the last one
            break
        if connection.settings_dict is connections.settings.get(alias):
            connection.owner = call
            connection._thread_ident = threading.get_ident()
            return connection
    return None


def _forget_in_child() -> None:
    """Leave the parent's connections alone after a fork.

    Both processes have the same sockets: whatever the child says on them, even a
    goodbye, ends the parent's sessions. So the child keeps the objects, which
    closes nothing, and opens connections of its own.
    """
    global _lock
    _lock = threading.RLock()  # another thread of the parent may have held it
    _inherited_from_parent.append((dict(_pools), dict(_parked)))
    _pools.clear()
    _parked.clear()
    storage: Any = connections._connections
    for connection in getattr(storage, "of_this_thread", dict)().values():
        if getattr(connection, "slot", None) is not None:
            _inherited_from_parent.append((connection.slot, connection.connection))
            connection.slot = connection.connection = None


def _follow_settings(*, setting: str, **kwargs: Any) -> None:
    if setting in {"DATABASES", "USE_TZ", "TIME_ZONE"}:
        _parked.clear()  # they keep what they worked out from the settings


setting_changed.connect(_follow_settings)
atexit.register(close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
