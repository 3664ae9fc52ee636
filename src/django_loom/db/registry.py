"""The process's connection pools."""

from __future__ import annotations

import atexit
import os
import threading
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS, connections

from django_loom.exceptions import EngineNotSupported

from .pools import ConnectionPool

if TYPE_CHECKING:
    from .wrapper import LoomDatabaseMixin

# What a connection is opened with. Two settings that differ in one of these have two pools.
_PARAMETERS = (
    "ENGINE",
    "NAME",
    "USER",
    "PASSWORD",
    "HOST",
    "PORT",
    "TIME_ZONE",
    "AUTOCOMMIT",
    "OPTIONS",
)
_values_of = itemgetter(*_PARAMETERS)

# Reentrant, for the garbage collector may end a call while it is held.
_lock = threading.RLock()
_pools: dict[str, list[_Known]] = {}
inherited_from_parent: list[Any] = []


class _Known:
    """A pool, and the parameters that its connections have."""

    __slots__ = ("parameters", "pool", "settings")

    def __init__(self, settings: dict[str, Any], pool: ConnectionPool) -> None:
        self.settings = settings
        self.parameters = _parameters(settings)
        self.pool = pool

    def serves(self, settings: dict[str, Any]) -> bool:
        """Tell if the pool is open, and connects as these settings say at this moment."""
        try:
            values = _values_of(settings)
        except KeyError:  # no settings of Django's, which has put in what the user's leave out
            values = _parameters(settings)
        return values == self.parameters and not self.pool.is_closed


def _parameters(settings: dict[str, Any]) -> tuple[Any, ...]:
    *values, options = (settings.get(name) for name in _PARAMETERS)
    return *values, _as_it_is_now(options or {})


def _as_it_is_now(value: Any) -> Any:
    """Copy an option, which may be changed in place, and what is in it.

    But for objects that are no containers, such as an SSL context: many can't be copied, and
    the copy of many would equal nothing, so that no pool would ever serve its settings again.
    """
    if isinstance(value, dict):
        return {name: _as_it_is_now(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        copies = [_as_it_is_now(each) for each in value]
        return copies if isinstance(value, list) else tuple(copies)
    return set(value) if isinstance(value, set) else value


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
    settings = connection.settings_dict
    for known in _pools.get(connection.alias, ()):
        if known.serves(settings):
            return known.pool
    with _lock:
        of_alias = _pools.get(connection.alias, [])
        for known in of_alias:
            if known.serves(settings):
                return known.pool
        options = connection.adapt_pool_options(connection.pool_options)
        made = ConnectionPool(connection.alias, options, connection.engine.close)
        # Settings that were changed in place, as the test runner does, are gone for good.
        outdated = [it for it in of_alias if it.settings is settings or _is_empty(it.pool)]
        kept = [it for it in of_alias if it not in outdated]
        _pools[connection.alias] = [*kept, _Known(settings, made)]
    for known in outdated:
        known.pool.close()
    return made


def _is_empty(pool: ConnectionPool) -> bool:
    statistics = pool.statistics()
    return not (statistics.size or statistics.pending_requests)


def pools() -> list[ConnectionPool]:
    """Return every pool that the process has now."""
    return [known.pool for of_alias in list(_pools.values()) for known in of_alias]


def close(alias: str) -> None:
    """Close the pools of a database, if there are any."""
    with _lock:
        of_alias = _pools.pop(alias, ())
    for known in of_alias:
        known.pool.close()


def close_all() -> None:
    """Close every pool of the process. The next query opens another."""
    for alias in list(_pools):
        close(alias)


def _forget_in_child() -> None:
    """Leave the parent's connections alone after a fork.

    Both processes have the same sockets: whatever the child says on them, even a
    goodbye, ends the parent's sessions. So the child keeps the objects, which
    closes nothing, and opens connections of its own.
    """
    global _lock
    _lock = threading.RLock()  # another thread of the parent may have held it
    inherited_from_parent.append(dict(_pools))
    _pools.clear()


atexit.register(close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
