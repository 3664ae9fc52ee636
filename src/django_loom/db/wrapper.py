"""The mixin that makes a database backend's ``DatabaseWrapper`` one of ours."""

from __future__ import annotations

import os
from asyncio import _get_running_loop
from functools import cached_property
from threading import get_ident
from typing import TYPE_CHECKING, Any, ClassVar

from greenlet import getcurrent

from django_loom.bridge import (
    Lock,
    Unit,
    current_call,
    current_thread_call,
    current_unit,
    is_collecting,
    unit_in_context,
)
from django_loom.conf import require_app

from . import scopes
from .commit_hooks import CommitHooksMixin
from .cursors import LeasedCursor, LeasedDebugCursor
from .engine import Engine
from .interruptions import InterruptionsMixin
from .lease import Lease, LeaseState
from .pool_options import PoolOptions
from .query_capture import QueryCaptureMixin
from .refusals import not_own, refuse_in_coroutine
from .server_side_cursors import ServerSideCursor

if TYPE_CHECKING:
    from typing import Any as _Base  # a BaseDatabaseWrapper; Django has no types

    from .pool_slots import Slot
else:
    _Base = object


class LoomDatabaseMixin(QueryCaptureMixin, CommitHooksMixin, InterruptionsMixin, _Base):
    """Put before a ``DatabaseWrapper`` class; lets its connections be leased from a pool.

    A wrapper is what Django calls a connection. In plain synchronous code without
    ``OPTIONS["pool"]`` it is Django's own, with one connection of its own. In a unit of
    work it becomes a leased one: see ``django_loom.db.leased``.
    """

    connection_attributes: ClassVar[tuple[str, ...]] = ()
    """Attributes that the engine keeps of its present connection, beside Django's."""
    engine: ClassVar[Engine] = Engine()
    cursor_class: ClassVar[type] = LeasedCursor
    debug_cursor_class: ClassVar[type] = LeasedDebugCursor

    connection: Any
    run_on_commit: list[Any]
    leased: bool = False
    managed: bool = False  # django.db.connections handed it out; no copy of somebody's
    unit: Unit | None  # None: it is a thread's

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Of a plain wrapper it has no more than who shares the connection, as in a TestCase.
        self.plain_lease = Lease(self.engine)
        self.plain_lease.state = LeaseState.HELD
        self.unit = None
        super().__init__(*args, **kwargs)

    @cached_property
    def pool_options(self) -> PoolOptions:
        """``OPTIONS["pool"]``, checked; the defaults for a copy of a connection."""
        value = self.settings_dict["OPTIONS"].get("pool") if self.managed else None
        return PoolOptions.from_settings(self.alias, value)

    def adapt_pool_options(self, options: PoolOptions) -> PoolOptions:
        """Return the options that this database can have."""
        return options

    @property
    def pools_in_threads(self) -> bool:
        """Whether connections of plain threads come from the pool as well."""
        return bool(self.settings_dict["OPTIONS"].get("pool"))

    @property
    def lease_timeout(self) -> float:
        """Seconds that code waits for its turn on a connection."""
        return self.pool_options.timeout

    def writers(self) -> Lock | None:
        """Return the mutex of those who write, where the database has one at a time."""
        return None

    def lease_here(self) -> Lease:
        """Return the lease of the calling code."""
        return self.plain_lease

    @property
    def scopes(self) -> list[scopes.Scope]:
        """The blocks that are open on the connection of the calling code."""
        return self.lease_here().scopes

    @property
    def opening_slot(self) -> Slot | None:
        """The pool's slot for which the connection is, if it is the pool's."""
        return self.lease_here().slot

    def require_own(self) -> None:
        """Refuse code of a call that has kept its thread's object, and would block the loop.

        :raises DatabaseError: saying what to write.
        """
        if not self.managed or current_call() is None or self.allow_thread_sharing:
            return
        if not (self.scopes and scopes.is_member(self, self)):
            raise not_own(self.alias)

    def note_lease_site(self, lease: Lease) -> None:
        """Note the line that took the lease, which may outlive the call it is in."""
        if lease.slot is not None and lease.slot.holder is not None:
            lease.slot.holder.note_site()

    def can_wait(self, lease: Lease) -> bool:
        """Tell if the calling code may wait for the database, on this connection."""
        if is_collecting():
            return False
        call = current_call()
        if call is not None:
            return not call.closing
        # Without a unit, this is no thread of its, but what the collector ends after its loop.
        is_member = not lease.on_loop or current_unit() is not None
        return _get_running_loop() is None and is_member

    def thread_has_ended(self) -> None:
        """Close the connection: its thread has ended, and shared it with nobody."""
        if self.connection is not None and not self.scopes and not self.allow_thread_sharing:
            self.engine.close(self.connection)

    def close_in_any_state(self, lease: Lease) -> None:
        """Close the connection below a transaction, which learns of it at its end."""
        self.engine.close(self.connection)

    def give_back_if_unneeded(self, lease: Lease) -> None:
        """Return a connection when what outlived its flow has ended; it is no pool's here."""

    # What Django calls.

    def connect(self) -> None:
        """Connect, as Django does; in a coroutine say what to write."""
        if not self.managed:
            require_app(f"The ENGINE of DATABASES[{self.alias!r}]")
        refuse_in_coroutine("connect to the database")
        self.require_own()
        super().connect()

    def cursor(self) -> Any:
        """Make a cursor, leasing a connection if need be."""
        if _get_running_loop() is not None:
            refuse_in_coroutine("use the database")
        # In the greenlet that a thread begins with no call runs, and its own object is its.
        if self.leased or getcurrent().parent is not None:
            self.require_own()
        return self._cursor()

    def chunked_cursor(self) -> Any:
        """Make a cursor that may stay open on the server, and so keeps its lease."""
        refuse_in_coroutine("use the database")
        cursor = super().chunked_cursor()
        # In its own thread's plain code it is Django's.
        is_on_loop = current_call() is not None or current_thread_call() is not None
        is_shared = self.leased or is_on_loop or self._thread_ident != get_ident()
        if is_shared and self.engine.cursors_stay_open:
            return ServerSideCursor(cursor, self)
        return cursor

    def ensure_connection(self) -> None:
        """Have a connection; in a coroutine do nothing, the query will lease one."""
        if self.connection is not None:
            return
        if self.unit is None or unit_in_context() is not self.unit:
            self.require_own()
        if _get_running_loop() is not None and not os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
            return
        super().ensure_connection()  # which Django's test cases replace, as a guard

    def get_autocommit(self) -> bool:
        """Tell if the connection is in autocommit mode."""
        refuse_in_coroutine("use a transaction")
        return bool(super().get_autocommit())

    def set_autocommit(self, *args: Any, **kwargs: Any) -> None:
        """Begin or end autocommit mode; see Django's ``BaseDatabaseWrapper``."""
        refuse_in_coroutine("use a transaction")
        super().set_autocommit(*args, **kwargs)

    def _close(self) -> None:
        super()._close()
        self.plain_lease.close_left_cursors()

    def close_if_unusable_or_obsolete(self) -> None:
        """Do as Django at a request's end, but for a request inside a ``TestCase``.

        The test's transaction is open on the thread's connection, which is the
        request's meanwhile; it would be closed with the request.
        """
        if self.scopes and current_unit() is not None:
            return
        super().close_if_unusable_or_obsolete()

    def validate_thread_sharing(self) -> None:
        """Allow, beside what Django allows, whoever is in the open transaction."""
        opened = self.scopes if self.leased else self.plain_lease.scopes
        if opened and scopes.is_member(self, self):
            return
        super().validate_thread_sharing()

    def make_cursor(self, cursor: Any) -> Any:
        """Wrap a driver's cursor."""
        return self.cursor_class(cursor, self)

    def make_debug_cursor(self, cursor: Any) -> Any:
        """Wrap a driver's cursor so that its queries are logged."""
        return self.debug_cursor_class(cursor, self)
