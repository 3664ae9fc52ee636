"""Which connection object ``django.db.connections[alias]`` is, for each piece of code."""

from __future__ import annotations

import logging
import os
from _thread import _local as RealLocal  # threading's keeps the unit's values
from collections.abc import Hashable, Mapping, Set
from contextlib import AbstractContextManager
from typing import Any

from django.db import connections
from greenlet import getcurrent

from django_loom.bridge import (
    Unit,
    current_call,
    current_unit,
    unit_in_context,
)
from django_loom.exceptions import EngineNotSupported

from . import flows, parking, scopes, thread_functions
from .connection_objects import ThreadConnections, UnitConnections
from .leased import make_leased
from .query_capture import captures_in_context
from .registry import inherited_from_parent
from .scopes import scopes_in_context
from .wrapper import LoomDatabaseMixin

logger = logging.getLogger("django_loom")

_KEY: Hashable = "django_loom.db"
_NO_CONNECTIONS: dict[str, Any] = {}  # of a unit that has made none
_of_other_engines: set[str] = set()  # aliases whose connections are always the thread's


class _Threads(RealLocal):
    def __init__(self) -> None:
        self.connections = ThreadConnections()


# Functions, for it costs to look up a method on a class that has ``__getattr__``.
def _of_quiet_unit(alias: str) -> Mapping[str, Any] | None:
    """Return the objects of the calling code's unit, if no block or thread can have others.

    As it mostly is for a request.

    :param alias: what is asked for; its open block says which it is.
    """
    unit = unit_in_context()
    if unit is None or scopes.opened_by_threads or _of_other_engines:
        return None
    if (known := scopes_in_context()) is not None:
        block = known.get(alias)
        return {alias: block.open_on} if block and block.open_on else None
    return unit.belongings.get(_KEY, _NO_CONNECTIONS)  # type: ignore[no-any-return]


def present_connections() -> list[Any]:
    """Return the connection objects that the calling code has, and what its context logs to."""
    wanted = captures_in_context()
    if not wanted and scopes_in_context() is None:
        # What _of_quiet_unit() does, without the call: a request asks three times.
        unit = unit_in_context()
        if unit is not None and not (scopes.opened_by_threads or _of_other_engines):
            return list(unit.belongings.get(_KEY, _NO_CONNECTIONS).values())
    # A log is the context's: to empty it, any connection will do.
    return connections._connections.made(wanted.keys())  # type: ignore[no-any-return]


class ConnectionStorage:
    """Takes the place of the ``asgiref.local.Local`` in ``django.db.connections``.

    A transaction's code gets the transaction's connection object. Other code of a unit of
    work has the unit's, one for each alias, in whatever greenlet, task or thread it runs.
    Everything else has the thread's, as in Django; a coroutine can read its
    attributes, but whatever would wait raises ``SynchronousOnlyOperation``.
    """

    _threads: _Threads

    def __init__(self) -> None:
        object.__setattr__(self, "_threads", _Threads())

    def thread_waits(self) -> None:
        """Give back what nothing in this thread needs while its code waits for somebody."""
        flows.before_wait()

    def of_this_thread(self) -> ThreadConnections:
        """Return the connection objects of the calling thread itself."""
        return self._threads.connections

    def leases_end(self) -> AbstractContextManager[None]:
        """Give back at the end of a block what a function of async code leases in this thread."""
        return thread_functions.leases_end()

    def made(self, wanted: Set[str] = frozenset()) -> list[Any]:
        """Return the connection objects that the calling code has so far.

        :param wanted: aliases of which one is made if there is none.
        """
        found = []
        for alias in connections:
            connection = connections[alias] if alias in wanted else self._present(alias)
            if connection is not None:
                found.append(connection)
        return found

    def _present(self, alias: str) -> Any:
        threads_own = self._threads.connections.get(alias)
        scope = scopes.find(alias, threads_own)
        if scope is not None:
            return scope.wrapper
        unit = current_unit()
        if unit is None:
            return threads_own
        of_unit = unit.belongings.get(_KEY)
        connection = None if of_unit is None else of_unit.get(alias)
        if connection is None and not isinstance(threads_own, LoomDatabaseMixin):
            return threads_own  # an ENGINE that blocks its thread
        return connection

    def __getattr__(self, alias: str) -> Any:
        if unit_in_context() is None and scopes_in_context() is None:
            # Plain code of a thread, or a coroutine of its loop: the thread's, the short way.
            is_threads_own = getcurrent().parent is None
            threads_own = self._threads.connections.get(alias) if is_threads_own else None
            if threads_own is not None:
                return threads_own
        of_unit = _of_quiet_unit(alias)
        connection = self._present(alias) if of_unit is None else of_unit.get(alias)
        if connection is None:
            unit = current_unit()
            if unit is None or (connection := parking.adopt(alias, unit)) is None:
                raise AttributeError(alias)
            _of(unit)[alias] = connection
        return connection

    def __setattr__(self, alias: str, connection: Any) -> None:
        unit = current_unit()
        if not isinstance(connection, LoomDatabaseMixin):
            if current_call() is not None and connection.vendor != "unknown":
                raise EngineNotSupported(
                    f"DATABASES[{alias!r}] has the ENGINE "
                    f"{connection.settings_dict['ENGINE']!r}, which would block the event "
                    "loop. Use 'django_loom.db.postgresql' or 'django_loom.db.sqlite3', or "
                    "put django_loom.db.threaded.ThreadedDatabaseMixin before its "
                    "DatabaseWrapper."
                )
            _of_other_engines.add(alias)
            self._threads.connections[alias] = connection
            return
        is_new = not connection.managed and connection.connection is None
        connection.managed = True
        connection.pool_options  # noqa: B018 - a wrong key is an error now, not later
        if is_new and (unit is not None or connection.pools_in_threads):
            make_leased(connection, unit)
        if unit is None:
            self._threads.connections[alias] = connection
            return
        if is_new:
            parking.remember(connection)
        _of(unit)[alias] = connection

    def __delattr__(self, alias: str) -> None:
        unit = current_unit()
        of_unit = None if unit is None else unit.belongings.get(_KEY)
        connections_here = self._threads.connections
        if of_unit is not None and alias in of_unit:
            connections_here = of_unit
        elif self._present(alias) is None:
            raise AttributeError(alias)  # the thread has one, which is not the unit's to delete
        try:
            connection = connections_here.pop(alias)
        except KeyError:
            raise AttributeError(alias) from None
        if getattr(connection, "leased", False):
            connection.let_go()


def _of(unit: Unit) -> UnitConnections:
    of_unit: UnitConnections | None = unit.belongings.get(_KEY)
    if of_unit is None:  # another thread may come to the same result
        of_unit = unit.belongings.setdefault(_KEY, UnitConnections(unit))
    return of_unit


def _forget_in_child() -> None:
    """Keep, and never close, what this thread's connection objects have from the parent."""
    storage = connections._connections
    if isinstance(storage, ConnectionStorage):
        for connection in storage.of_this_thread().values():
            if getattr(connection, "leased", False):
                inherited_from_parent.append(connection.forget_all())
    flows.forget_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
