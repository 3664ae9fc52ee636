"""Which connection object ``django.db.connections[alias]`` is, for each piece of code."""

from __future__ import annotations

import logging
import os
import threading
from _thread import _local as RealLocal  # threading's keeps the unit's values
from collections.abc import Hashable, Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from contextvars import Context
from functools import partial
from typing import Any

from django.db import connections
from greenlet import getcurrent

from django_loom.bridge import (
    Unit,
    current_call,
    current_unit,
    finish_all,
    in_waiting_thread,
    unit_in_context,
)
from django_loom.exceptions import AutocommitLeftOff, EngineNotSupported

from . import flows, parking, scopes
from .lease import Lease
from .leased import make_leased
from .query_capture import captures_in_context
from .registry import inherited_from_parent
from .scopes import scopes_in_context
from .unit_jobs import jobs_of, running_jobs
from .wrapper import LoomDatabaseMixin

logger = logging.getLogger("django_loom")

_KEY: Hashable = "django_loom.db"
_NO_CONNECTIONS: dict[str, Any] = {}  # of a unit that has made none
_of_other_engines: set[str] = set()  # aliases whose connections are always the thread's


class UnitConnections(dict[str, Any]):
    """The connection objects of a unit of work: one for each alias."""

    def __init__(self, unit: Unit) -> None:
        super().__init__()
        unit.at_end(partial(self.end, unit))

    def end(self, unit: Unit) -> None:
        """Undo what the unit has left, and part with the objects.

        :raises AutocommitLeftOff: what was written would be lost without a word.
        """
        # The answer is sent while a thread works on, because nobody waits for it any more →
        # its next statement would find another session, say another tenant's tables → what
        # is pinned stays until the last of these threads is through.
        keep_session = running_jobs(unit) > 0
        lost: list[str] = []
        try:
            for alias in list(self):
                # No variable for it, for parking counts who has it.
                if self[alias].leases or self[alias].outliving or self[alias].pinned is not None:
                    lost += self[alias].unit_ends(keep_session=keep_session)
                self._part_with(alias)
        except BaseException:
            with suppress(BaseException):
                finish_all(
                    partial(self._end_alias, alias, keep_session, lost) for alias in list(self)
                )
            for message in lost:  # which would have been an error of its own
                logger.warning(message)
            raise
        finally:
            # Not before: the last of them may end now, and would do the same beside us.
            if keep_session and not jobs_of(unit).after_last(self._end_sessions):
                self._end_sessions()
        if lost:
            raise AutocommitLeftOff(lost[0])

    def _end_alias(self, alias: str, keep_session: bool, lost: list[str]) -> None:
        try:
            lost += self[alias].unit_ends(keep_session=keep_session)
        finally:
            self._part_with(alias)

    def _part_with(self, alias: str) -> None:
        # A thread may outlive its unit, in the midst of a transaction: it finds its own.
        if not (self[alias].leases or self[alias].outliving or self[alias].pinned is not None):
            # Taken out first: a thread that comes now must not find what is parked.
            parking.park({alias: self.pop(alias)}, alias)

    def _end_sessions(self) -> None:
        finish_all(partial(self._end_session, alias) for alias in list(self))

    def _end_session(self, alias: str) -> None:
        try:
            if self[alias].pinned is not None:
                for lost in self[alias].session_ends():
                    logger.warning(lost)
        finally:
            self._part_with(alias)


class ThreadConnections(dict[str, Any]):
    """The connection objects of one thread; they end with it.

    Django's request handlers close connections in the thread that used them. With
    the end of the request on the loop nobody comes by there any more: the thread,
    made for that request, just ends.
    """

    def __init__(self) -> None:
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


class _Threads(RealLocal):
    def __init__(self) -> None:
        self.connections = ThreadConnections()


# Functions, for it costs to look up a method on a class that has ``__getattr__``.
def _of_quiet_unit(alias: str | None = None) -> Mapping[str, Any] | None:
    """Return the objects of the calling code's unit, if no block or thread can have others.

    As it mostly is for a request, which asks some four times.

    :param alias: the only one that is asked for, so that its open block says which it is.
    """
    unit = unit_in_context()
    if unit is None or scopes.opened_by_threads or _of_other_engines:
        return None
    if (known := scopes_in_context()) is not None:
        block = known.get(alias) if alias is not None else None
        return {alias: block.open_on} if alias and block and block.open_on else None
    return unit.belongings.get(_KEY, _NO_CONNECTIONS)  # type: ignore[no-any-return]


def present_connections() -> list[Any]:
    """Return the connection objects that the calling code has, and what its context logs to."""
    wanted = captures_in_context()
    if not wanted and (of_unit := _of_quiet_unit()) is not None:
        return list(of_unit.values())
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

    @contextmanager
    def leases_end(self) -> Iterator[None]:
        """Give back at the end of a block what it has leased in this thread.

        For a function of async code that runs in a thread. Synchronous code may wait in
        the same thread for the async code to end: what that has leased stays, and what the
        thread's own connection objects have.

        Outside a unit, the next function in the thread relies on what this one has done to
        the session, or on its transaction without autocommit → on a clean connection it would
        commit each statement, or write to other tables → such a one stays the thread's.
        """
        leases = flows.of_this_thread()
        before = set(leases)
        flow_end, leases.flow_end = leases.flow_end, None
        leases.jobs += 1
        unit = current_unit()
        jobs = None if unit is None else jobs_of(unit)
        if jobs is not None:
            jobs.begin()
        try:
            yield
        finally:
            leases.jobs -= 1
            ended = _taken_since(before, leases)
            try:
                if leases.flow_end is not None:
                    leases.flow_end.after_call()
                leases.flow_end = flow_end
                for lease, wrapper in ended:
                    wrapper.flow_ends(lease)
            except BaseException:
                leases.flow_end = flow_end
                with suppress(BaseException):
                    finish_all(partial(wrapper.flow_ends, lease) for lease, wrapper in ended)
                raise
            finally:
                if jobs is not None:
                    Context().run(jobs.end)  # no part of the unit any more

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


def _taken_since(before: set[Lease], leases: flows.ThreadLeases) -> Iterator[tuple[Lease, Any]]:
    """Take out the leases of a thread that have come, but for those of its own objects.

    Of those, a clean one goes unless synchronous code waits in the thread.
    """
    for lease, wrapper in list(leases.items()):
        is_over = lease not in before
        if wrapper.unit is None:
            is_over = not (in_waiting_thread() or wrapper.is_threads_own(lease))
        if is_over and leases.pop(lease, None) is not None:
            yield lease, wrapper


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
