"""The connection object of a unit of work: one for all its code, with many leases."""

from __future__ import annotations

import logging
import sys
import time
from asyncio import _get_running_loop
from contextlib import suppress
from functools import cache, partial
from typing import Any, ClassVar

from django.db.backends.base.base import BaseDatabaseWrapper
from greenlet import getcurrent

from django_loom.bridge import SyncCall, Unit, current_unit, unit_in_context

from . import flows, registry, scopes
from .holders import is_users
from .lease import ATTRIBUTES, DEFAULTS, Lease, LeaseState
from .library_threads import LibraryThreadLeases
from .pinned_leases import PinnedLeases
from .returned_leases import ReturnedLeases
from .scopes import scopes_in_context
from .unit_jobs import running_jobs
from .unit_leases import UnitLeases
from .wrapper import LoomDatabaseMixin, not_own, refuse_in_coroutine, session_lost

logger = logging.getLogger("django_loom")

_ensure_connection = BaseDatabaseWrapper.ensure_connection  # test cases put a guard there


def _lease_attribute(name: str) -> property:
    """Return an attribute of Django's connection object that the present lease has."""

    # A property's function is called without the detour by C that other descriptors take.
    def value(wrapper: Any) -> Any:
        # What present_lease() does first, without the call: each query reads some eight.
        known = scopes_in_context()
        if known is None:
            current = getcurrent()
            if type(current) is SyncCall and wrapper.unit is not None:
                lease = wrapper.shared or wrapper.leases.get(current)
            else:
                lease = wrapper.present_lease()
        elif (block := known.get(wrapper.alias)) is not None and block.open_on is wrapper:
            lease = block.lease
        else:
            lease = wrapper.present_lease()
        if lease is not None:
            return getattr(lease, name)
        # Most code that asks before it has a connection only asks: no lease is made for it.
        return DEFAULTS[name] if name in DEFAULTS else getattr(wrapper.lease_here(), name)

    def assign(wrapper: Any, value: Any) -> None:
        vars(wrapper.lease_here())[name] = value

    return property(value, assign)


class LeasedDatabaseMixin(ReturnedLeases, LibraryThreadLeases, UnitLeases, PinnedLeases):
    """Stands before a ``DatabaseWrapper`` class of ours; see ``make_leased()``.

    What the user's code puts on the object is there for the whole unit. What belongs to
    a physical connection is the lease's of the code that asks: that of the transaction
    it is in, else the one pinned to the unit, else that of its flow.
    """

    leased = True
    plain_class: ClassVar[type]  # the class of ours that it stands before
    opens_as_django: ClassVar[bool]  # nobody's class between has another way

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if not args and not kwargs:
            return object.__new__(cls)  # copy.copy(), which shares what the object has
        # copy() and the test runner make another connection of our class: a plain one.
        return cls.plain_class(*args, **kwargs)

    def lease_here(self) -> Lease:
        """Return the lease of the calling code; an empty one if it has none."""
        lease = self.present_lease()
        if lease is not None and lease.claim is not None and not self.claims(lease):
            lease = self.present_lease()
        return self._empty_lease() if lease is None else lease

    def present_lease(self) -> Lease | None:
        """Return the lease of the calling code, or None."""
        current = getcurrent()
        known = scopes_in_context()
        if known is None:
            if type(current) is SyncCall and self.unit is not None:  # as it mostly is
                return self.shared or self.leases.get(current)
        elif (block := known.get(self.alias)) is not None and block.open_on is self:
            return block.lease
        scope = scopes.find(self.alias, self if self.unit is None else None)
        if scope is not None and scope.wrapper is self:
            if scope.kind is scopes.Kind.CURSOR:
                lease = self.leases.get(current) or scope.lease
                return lease if self.shared is None or lease is not self.pinned else self.shared
            if scope.kind is not scopes.Kind.PIN:
                return scope.lease
        if self.shared is not None:
            return self.shared
        lease = self.leases.get(current)
        if lease is not None:
            return lease
        flow = flows.current_flow()
        return self.leases.get(flow) if flow is not None else None

    @property
    def scopes(self) -> list[scopes.Scope]:
        """The blocks that are open on the calling code's connection, or the thread's."""
        if self.unit is None:
            if not self.leases and not self.outliving:
                return []
            leases = {*self.leases.values(), *self.outliving}
            return [scope for lease in leases for scope in lease.scopes]
        lease = self.present_lease()
        return [] if lease is None else lease.scopes

    def _empty_lease(self) -> Lease:
        """Return a lease without a connection, for what the code sets on it."""
        flow = flows.current_flow()
        lease = Lease(self.engine, flow)
        # A thread that outlives the unit would keep it, and the object with it.
        if flow is not None and (self.unit is None or not flows.ends_at_once()):
            self.leases[flow] = lease
            flows.note(lease, self)
        return lease

    def connect(self) -> None:
        """Take a connection from the pool, and open it if the pool has none."""
        if _get_running_loop() is not None:
            refuse_in_coroutine("connect to the database")
        if self.unit is None or unit_in_context() is not self.unit:
            self.require_own()
        self._take()
        if type(getcurrent()) is not SyncCall and is_users(sys._getframe(1)):
            self.connection_ensured()

    def take(self, *, trusted: bool) -> None:
        """Have a connection, as ``ensure_connection()`` does.

        :param trusted: the code may use the object, whatever its unit is.
        """
        if not trusted:
            self.ensure_connection()
        elif self.connection is None:
            with self.wrap_database_errors:
                self._take()

    def _take(self) -> None:
        if self.settings_dict["TIME_ZONE"] is not None:
            self.check_settings()
        before = self.present_lease()
        if before is not None and before.session_is_lost:
            raise session_lost(self.alias)
        current = getcurrent()
        flow = current if type(current) is SyncCall else flows.current_flow()
        lease = Lease(self.engine, flow)
        lease.state = LeaseState.OPENING
        pool = registry.get(self)
        lease.slot = pool.acquire_nowait()
        if lease.slot is None:
            # Two flows take two databases in opposite order, and each waits for what the other
            # has idle → both until the timeout → first it goes back, as at any other wait.
            flows.before_wait()
            lease.slot = pool.acquire()
        try:
            self.replace_lease(before, lease)
            if lease.slot.connection is not None:
                self.attach(lease)
            if lease.connection is None:
                self._open(lease)
        except BaseException:
            if lease.slot is not None and lease.slot.connection is None:
                self._close_half_opened(lease)
            self.drop(lease)
            raise
        lease.state = LeaseState.HELD
        if not lease.on_loop and self.is_in_library_thread():
            flows.note_thread(lease)
        if pool.options.per_unit or self._thread_sharing_count:
            self.pin(lease)

    def replace_lease(self, before: Lease | None, lease: Lease) -> None:
        """Put a new lease where the code has an empty or an ended one, or none."""
        if before is not None:
            flows.forget(before, self)
        if lease.flow is not None:
            self.leases[lease.flow] = lease
            flows.note(lease, self)
        if before is None or before.pin is None or self.pinned is not before:
            return
        # Its connection was closed.
        lease.pin, before.pin = before.pin, None
        # Its scope hands out the turns of the lease that it was made for → the unit's end
        # would take another lock, and give the connection back below a thread.
        lease.share_turn(before)
        lease.pin.lease = self.pinned = lease
        self.share(lease)

    def _open(self, lease: Lease) -> None:
        slot = lease.slot
        assert slot is not None
        started = time.monotonic()
        super().connect()
        slot.attributes = {
            name: lease.__dict__[name]
            for name in ("autocommit", *self.connection_attributes)
            if name in lease.__dict__
        }
        slot.pool.opened(slot, lease.connection, time.monotonic() - started)
        self.engine.session_begins(lease.connection)

    def _close_half_opened(self, lease: Lease) -> None:
        """Close a connection that the pool does not know of."""
        if lease.connection is not None:
            with suppress(Exception):
                self.engine.close(lease.connection)

    def attach(self, lease: Lease) -> None:
        """Take over the slot's connection, or find that it is lost."""
        slot = lease.slot
        assert slot is not None
        settings = self.settings_dict
        max_age = settings["CONN_MAX_AGE"]
        lease.assign(slot.attributes)
        lease.connection = slot.connection
        lease.health_check_done = True
        lease.close_at = None if max_age is None else slot.taken_at + max_age
        check = slot.suspect or settings["CONN_HEALTH_CHECKS"]
        if not lease.engine.seems_alive(lease.connection) or (check and not self.is_usable()):
            lease.connection = None
            slot.pool.drop_connection(slot, lost=True)

    # What Django calls.

    def ensure_connection(self) -> None:
        """Have a connection; in a coroutine do nothing, the query will lease one."""
        is_call = type(getcurrent()) is SyncCall
        if (
            is_call
            and self.unit is not None
            and unit_in_context() is self.unit
            and self.opens_as_django
            and BaseDatabaseWrapper.ensure_connection is _ensure_connection
        ):
            lease = self.present_lease()
            if lease is None and _get_running_loop() is None:
                with self.wrap_database_errors:  # what Django's does, the short way
                    self.connect()
                return
            if lease is not None and lease.connection is not None:
                return
        super().ensure_connection()
        # Django itself uses it now; the user's code may only have looked if there is one.
        if not is_call and is_users(sys._getframe(1)):
            self.connection_ensured()

    def require_own(self) -> None:
        """Refuse code of another unit that has kept the object.

        :raises DatabaseError: saying what to write.
        """
        if self.unit is None:
            super().require_own()
            super().validate_thread_sharing()
            return
        if unit_in_context() is self.unit:  # the short way
            return
        if current_unit() is self.unit or self.allow_thread_sharing or scopes.is_member(self):
            return
        lease = self.lease_here()
        if lease.state is LeaseState.OPENING:  # for code that may have it
            return
        # Code had the object as a reader of another unit's cursor, and waited for a connection →
        # the cursor was closed meanwhile → what the code has on the object is its own still.
        is_flows = lease.flow is not None and lease.flow is flows.current_flow()
        if not (is_flows and lease.state is LeaseState.HELD):
            raise not_own(self.alias)

    def cursor(self) -> Any:
        """Make a cursor, leasing a connection if need be."""
        if type(getcurrent()) is not SyncCall:
            return self.cursor_in_thread(super().cursor)
        is_own = self.unit is not None and unit_in_context() is self.unit
        if is_own and _get_running_loop() is None:
            return self._cursor()  # as it mostly is, the short way
        return super().cursor()

    def close_if_health_check_failed(self) -> None:
        """Check the connection, if the settings want that and the pool has not just done it."""
        if self.settings_dict["CONN_HEALTH_CHECKS"]:
            super().close_if_health_check_failed()

    def validate_thread_sharing(self) -> None:
        """Allow whoever belongs to the unit, in whatever thread."""
        if self.unit is None or unit_in_context() is not self.unit:
            self.require_own()

    def inc_thread_sharing(self) -> None:
        """Let threads of other units use the object, and with it the connection that it has."""
        super().inc_thread_sharing()
        if self.connection is not None:
            self.pin(self.lease_here())

    def set_autocommit(self, autocommit: bool, *args: Any, **kwargs: Any) -> None:
        """Begin or end autocommit mode; see Django's ``BaseDatabaseWrapper``.

        At the end of a block whose connection was lost there is none whose mode could be
        set; Django would open one for that.
        """
        lease = self.lease_here()
        if lease.is_stand_in:
            self.beside_block(self.set_autocommit, autocommit, *args)
            return
        if autocommit and lease.scopes and lease.state is LeaseState.ENDED:
            lease.autocommit = autocommit
            return
        super().set_autocommit(autocommit, *args, **kwargs)
        if autocommit and type(getcurrent()) is SyncCall:
            return
        lease = self.lease_here()
        if not autocommit:
            self.note_lease_site(lease)  # named if nobody turns it on again
        self.statement_ends(lease)

    def get_autocommit(self) -> bool:
        """Tell if the connection is in autocommit mode, or will be: this takes none."""
        lease = self.present_lease()
        if lease is None or lease.state is LeaseState.EMPTY:
            refuse_in_coroutine("use a transaction")
            return bool(self.settings_dict["AUTOCOMMIT"])
        return super().get_autocommit()

    def _commit(self) -> None:
        self.beside_block(super()._commit)

    def _rollback(self) -> None:
        self.beside_block(super()._rollback)

    def chunked_cursor(self) -> Any:
        """Make a cursor that may stay open on the server, and so keeps its lease."""
        refuse_in_coroutine("use the database")
        if type(getcurrent()) is SyncCall:
            return self.beside_block(super().chunked_cursor)
        return self.cursor_in_thread(partial(self.beside_block, super().chunked_cursor))

    def interrupted(self, lease: Lease | None = None) -> None:
        """Leave a true state after a wait was cut short; one for a turn changes nothing."""
        found = self.lease_here()
        here = lease or found
        is_beside = here.pin is not None and here.scopes and here is not found
        if not here.is_stand_in and not is_beside:
            super().interrupted(here)

    def close(self) -> None:
        """Close the calling code's connection; see Django's ``BaseDatabaseWrapper``."""
        if self.shared is self.pinned or self.can_wait(self.lease_here()):
            self.beside_block(super().close)  # else it is the block's, which goes on
            self._forget_loss()

    def _forget_loss(self) -> None:
        """Let the code begin a new session where the one that it relied on is lost."""
        lease = self.present_lease()
        if lease is not None:
            lease.session_is_lost = False

    def _close(self) -> None:
        lease = self.lease_here()
        if lease.in_atomic_block or lease.scopes:
            self.close_in_any_state(lease)
        else:
            self.give_back(lease)

    def close_if_unusable_or_obsolete(self) -> None:
        """Do as Django at a request's end, but for what was open around the request."""
        lease = self.present_lease()
        if lease is None:
            return
        if lease.pin is not None and running_jobs(self.unit) > flows.of_this_thread().jobs:
            return  # another thread works on with it, while the request ends
        if lease.connection is None:
            lease.session_is_lost = False  # as Django's, which would be closed here
            return
        scope = scopes.find(self.alias)
        if scope is None or scope.unit is current_unit():
            loss = self.loss_at_close(lease)
            super().close_if_unusable_or_obsolete()
            if loss is not None and lease.slot is None:  # else the unit's end tells of it
                logger.warning(loss)


def _leased_class(plain: Any) -> Any:
    """Return a class of ours with leases, under the name of the plain one."""
    names = {*ATTRIBUTES, *plain.connection_attributes}
    namespace: dict[str, Any] = {name: _lease_attribute(name) for name in names}
    namespace |= {
        "__module__": plain.__module__,
        "__qualname__": plain.__qualname__,
        "plain_class": plain,
        "opens_as_django": plain.ensure_connection is LoomDatabaseMixin.ensure_connection,
    }
    return type(plain.__name__, (LeasedDatabaseMixin, plain), namespace)


leased_class: Any = cache(_leased_class)


def make_leased(wrapper: Any, unit: Unit | None) -> None:
    """Turn a new connection object into one whose connections come from the pool."""
    plain = type(wrapper)
    wrapper.__class__ = leased_class(plain)
    for name in (*ATTRIBUTES, *plain.connection_attributes):
        wrapper.__dict__.pop(name, None)
    wrapper.unit = unit
    wrapper.leases = {}
    wrapper.pinned = wrapper.pinned_in = wrapper.shared = None
    wrapper.outliving = []
