"""Which connection object ``django.db.connections[alias]`` is, for each piece of code."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Any

from greenlet import getcurrent

from django_loom.bridge import SyncCall
from django_loom.exceptions import EngineNotSupported

from . import registry, scopes
from .wrapper import LoomDatabaseMixin

_KEY: Hashable = "django_loom.db"


class CallConnections(dict[str, LoomDatabaseMixin]):
    """The connection objects that one ``run_sync()`` call uses."""

    def before_wait(self) -> None:
        """Give back the connections that nothing is open on."""
        for connection in self.values():
            connection.give_back_if_idle()

    def after_call(self) -> None:
        """Give back everything but what an open transaction or cursor needs."""
        for connection in self.values():
            connection.owner = None
            connection.give_back_if_unowned()


class ConnectionStorage:
    """Takes the place of the ``asgiref.local.Local`` in ``django.db.connections``.

    A transaction's code gets the transaction's connection object. Other code that
    ``run_sync()`` runs has its own for each alias, for as long as the call lasts.
    Everything else has the thread's, as in Django; a coroutine can read its
    attributes, but whatever would wait raises ``SynchronousOnlyOperation``.
    """

    def __init__(self) -> None:
        object.__setattr__(self, "_threads", threading.local())

    def of_this_thread(self) -> dict[str, Any]:
        """Return the connection objects of the calling thread itself."""
        return dict(self._threads.__dict__)

    def __getattr__(self, alias: str) -> Any:
        threads_own = self._threads.__dict__.get(alias)
        scope = scopes.find(alias, threads_own)
        if scope is not None:
            return scope.connection
        call = getcurrent()
        if type(call) is not SyncCall:
            if threads_own is None:
                raise AttributeError(alias)
            return threads_own
        held = _held_by(call)
        connection = held.get(alias)
        if connection is None:
            connection = registry.adopt(alias, call)
            if connection is None:
                raise AttributeError(alias)
            held[alias] = connection
        return connection

    def __setattr__(self, alias: str, connection: Any) -> None:
        ours = isinstance(connection, LoomDatabaseMixin)
        if ours:
            connection.managed = True
            connection.pool_options  # noqa: B018 - a wrong key is an error now, not later
        call = getcurrent()
        if type(call) is not SyncCall:
            setattr(self._threads, alias, connection)
            return
        if not ours:
            if connection.vendor == "unknown":  # django.db.backends.dummy: it can't wait
                setattr(self._threads, alias, connection)
                return
            raise EngineNotSupported(
                f"DATABASES[{alias!r}] has the ENGINE "
                f"{connection.settings_dict['ENGINE']!r}, which would block the event "
                "loop. Use 'django_loom.db.postgresql' or 'django_loom.db.sqlite3', or "
                "put django_loom.db.threaded.ThreadedDatabaseMixin before its "
                "DatabaseWrapper."
            )
        connection.owner = call
        connection.shared = True
        _held_by(call)[alias] = connection

    def __delattr__(self, alias: str) -> None:
        call = getcurrent()
        if type(call) is SyncCall and alias in _held_by(call):
            del _held_by(call)[alias]
        else:
            delattr(self._threads, alias)


def _held_by(call: SyncCall) -> CallConnections:
    if call.resources is None:
        call.resources = {}
    held = call.resources.get(_KEY)
    if held is None:
        held = call.resources[_KEY] = CallConnections()
    return held  # type: ignore[return-value]
