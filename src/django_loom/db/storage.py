"""Which connection object ``django.db.connections[alias]`` is, for each piece of code."""

from __future__ import annotations

import os
import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.db import connections
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


class ThreadConnections(dict[str, Any]):
    """The connection objects of one thread; they end with it.

    Django's request handlers close connections in the thread that used them. With
    the end of the request on the loop nobody comes by there any more: the thread,
    made for that request, just ends.
    """

    def __init__(self) -> None:
        self.pooled = False  # whether connections made now come from the pools
        self._pid = os.getpid()
        self._thread_ident = threading.get_ident()

    def __del__(self) -> None:
        if os.getpid() != self._pid:
            return  # a thread of the parent, gone with the fork: its sockets are the parent's
        for connection in self.values():
            # Not one that another thread has lent to this one, as Django's tests do.
            own = getattr(connection, "_thread_ident", None) == self._thread_ident
            if own and isinstance(connection, LoomDatabaseMixin):
                with suppress(Exception):  # at interpreter exit anything may be missing
                    connection.thread_has_ended()

    def idle_leases(self) -> list[LoomDatabaseMixin]:
        """Return those that have a lease which nothing needs at the moment."""
        return [it for it in self.values() if getattr(it, "lease_is_idle", False)]


class _Threads(threading.local):
    def __init__(self) -> None:
        self.connections = ThreadConnections()


class ConnectionStorage:
    """Takes the place of the ``asgiref.local.Local`` in ``django.db.connections``.

    A transaction's code gets the transaction's connection object. Other code that
    ``run_sync()`` runs has its own for each alias, for as long as the call lasts.
    Everything else has the thread's, as in Django; a coroutine can read its
    attributes, but whatever would wait raises ``SynchronousOnlyOperation``.
    """

    _threads: _Threads

    def __init__(self) -> None:
        object.__setattr__(self, "_threads", _Threads())

    def of_this_thread(self) -> ThreadConnections:
        """Return the connection objects of the calling thread itself."""
        return self._threads.connections

    @contextmanager
    def leases_end(self) -> Iterator[None]:
        """Give back at the end of a block what nothing in the thread needs then.

        For a function of async code that runs in a thread: until the next one
        comes, which may be never, nobody there needs a connection, unless it is
        the thread of synchronous code that waits for the async code to end.
        """
        threads = self.of_this_thread()
        of_waiting_code = threads.idle_leases()
        try:
            yield
        finally:
            for connection in threads.idle_leases():
                if connection not in of_waiting_code:
                    connection.give_back_if_idle()

    @contextmanager
    def pooled_leases(self) -> Iterator[None]:
        """Use the pools in this thread, also without ``OPTIONS["pool"]``.

        For synchronous code of a server on a loop: a lease is taken with the first
        query, and given back at the end of the block.
        """
        threads = self.of_this_thread()
        before, threads.pooled = threads.pooled, True
        try:
            with self.leases_end():
                yield
        finally:
            threads.pooled = before

    def of_call(self, call: SyncCall) -> list[Any]:
        """Return the connection objects that a ``run_sync()`` call has so far."""
        held: Any = (call.resources or {}).get(_KEY, {})
        found = []
        for alias in connections:
            scope = scopes.find(alias, self._threads.connections.get(alias))
            connection = held.get(alias) if scope is None else scope.connection
            if connection is not None:
                found.append(connection)
        return found

    def __getattr__(self, alias: str) -> Any:
        threads_own = self._threads.connections.get(alias)
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
            if ours:
                connection.pooled = self._threads.connections.pooled
            self._threads.connections[alias] = connection
            return
        if not ours:
            if connection.vendor == "unknown":  # django.db.backends.dummy: it can't wait
                self._threads.connections[alias] = connection
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
            try:
                del self._threads.connections[alias]
            except KeyError:
                raise AttributeError(alias) from None


def _held_by(call: SyncCall) -> CallConnections:
    if call.resources is None:
        call.resources = {}
    held = call.resources.get(_KEY)
    if held is None:
        held = call.resources[_KEY] = CallConnections()
    return held  # type: ignore[return-value]
