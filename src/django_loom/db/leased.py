"""The connection object of a unit of work: one for all its code, with many leases."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import cache
from typing import Any, ClassVar

from greenlet import getcurrent

from django_loom.bridge import SyncCall, Unit, current_unit

from . import flows, registry, scopes
from .lease import ATTRIBUTES, Lease, LeaseState
from .pinned_leases import PinnedLeases
from .returned_leases import ReturnedLeases
from .wrapper import not_own, refuse_in_coroutine


class LeaseAttribute:
    """An attribute of Django's connection object that the present lease has."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, wrapper: Any, owner: type | None = None) -> Any:
        return self if wrapper is None else getattr(wrapper.lease_here(), self.name)

    def __set__(self, wrapper: Any, value: Any) -> None:
        wrapper.lease_here().__dict__[self.name] = value


class LeasedDatabaseMixin(ReturnedLeases, PinnedLeases):
    """Stands before a ``DatabaseWrapper`` class of ours; see ``make_leased()``.

    What the user's code puts on the object is there for the whole unit. What belongs to
    a physical connection is the lease's of the code that asks: that of the transaction
    it is in, else the one pinned to the unit, else that of its flow.
    """

    leased = True
    plain_class: ClassVar[type]  # the class of ours that it stands before

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if not args and not kwargs:
            return object.__new__(cls)  # copy.copy(), which shares what the object has
        # copy() and the test runner make another connection of our class: a plain one.
        return cls.plain_class(*args, **kwargs)

    def lease_here(self) -> Lease:
        """Return the lease of the calling code; an empty one if it has none."""
        current = getcurrent()
        if type(current) is SyncCall and not scopes.are_known() and self.unit is not None:
            lease = self.pinned or self.leases.get(current)  # as it mostly is, the short way
            if lease is not None:
                return lease
        scope = scopes.find(self.alias, self if self.unit is None else None)
        if scope is not None and scope.wrapper is self:
            if scope.kind is not scopes.Kind.CURSOR:
                return scope.lease
            return self.leases.get(getcurrent()) or scope.lease
        if self.pinned is not None:
            return self.pinned
        lease = self.leases.get(getcurrent())
        return lease if lease is not None else self._lease_of_parent()

    @property
    def scopes(self) -> list[scopes.Scope]:
        """The blocks that are open on the calling code's connection, or the thread's."""
        if self.unit is None:
            leases = {*self.leases.values(), *self.outliving}
            return [scope for lease in leases for scope in lease.scopes]
        return self.lease_here().scopes

    def _lease_of_parent(self) -> Lease:
        """Return the lease of the flow that the present greenlet is in, or an empty one."""
        flow = flows.current_flow()
        lease = self.leases.get(flow) if flow is not None else None
        if lease is None:
            lease = Lease(self.engine, flow)
            # A thread that outlives the unit would keep it, and the object with it.
            if flow is not None and (self.unit is None or not flows.ends_at_once()):
                self.leases[flow] = lease
                flows.note(lease, self)
        return lease

    def connect(self) -> None:
        """Take a connection from the pool, and open it if the pool has none."""
        refuse_in_coroutine("connect to the database")
        self.require_own()
        self._take()

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
        self.check_settings()
        before = self.lease_here()
        lease = Lease(self.engine, flows.current_flow())
        lease.state = LeaseState.OPENING
        pool = registry.get(self)
        lease.slot = pool.acquire()
        self.replace_lease(before, lease)
        try:
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
        if self.pool_options.per_unit or self._thread_sharing_count:
            self.pin(lease)

    def replace_lease(self, before: Lease, lease: Lease) -> None:
        """Put a new lease where the code has an empty or an ended one."""
        flows.forget(before, self)
        if lease.flow is not None:
            self.leases[lease.flow] = lease
            flows.note(lease, self)
        if self.pinned is before and before.pin is not None:  # its connection was closed
            lease.pin, before.pin = before.pin, None
            # Its scope hands out the turns of the lease that it was made for → the unit's end
            # would take another lock, and give the connection back below a thread.
            lease.share_turn(before)
            lease.pin.lease = self.pinned = lease

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
        max_age = self.settings_dict["CONN_MAX_AGE"]
        lease.__dict__.update(slot.attributes)
        lease.connection = slot.connection
        lease.health_check_done = True
        lease.close_at = None if max_age is None else time.monotonic() + max_age
        check = slot.suspect or self.settings_dict["CONN_HEALTH_CHECKS"]
        if not self.engine.seems_alive(lease.connection) or (check and not self.is_usable()):
            lease.connection = None
            slot.pool.drop_connection(slot, lost=True)
        slot.suspect = False

    # What Django calls.

    def require_own(self) -> None:
        """Refuse code of another unit that has kept the object.

        :raises DatabaseError: saying what to write.
        """
        if self.unit is None:
            super().require_own()
            super().validate_thread_sharing()
            return
        if current_unit() is self.unit or self.allow_thread_sharing or scopes.is_member(self):
            return
        if self.lease_here().state is not LeaseState.OPENING:  # for code that may have it
            raise not_own(self.alias)

    def validate_thread_sharing(self) -> None:
        """Allow whoever belongs to the unit, in whatever thread."""
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
        if autocommit and lease.scopes and lease.state is LeaseState.ENDED:
            lease.autocommit = autocommit
            return
        super().set_autocommit(autocommit, *args, **kwargs)
        if not autocommit:
            lease = self.lease_here()
            self.note_lease_site(lease)  # named if nobody turns it on again
            if not lease.scopes:
                self.statement_ends(lease)

    def _close(self) -> None:
        lease = self.lease_here()
        if lease.in_atomic_block or lease.scopes:
            self.close_in_any_state(lease)
        else:
            self.give_back(lease)

    def close_if_unusable_or_obsolete(self) -> None:
        """Do as Django at a request's end, but for what was open around the request."""
        scope = scopes.find(self.alias)
        if scope is None or scope.unit is current_unit():
            super().close_if_unusable_or_obsolete()


def _leased_class(plain: Any) -> Any:
    """Return a class of ours with leases, under the name of the plain one."""
    names = {*ATTRIBUTES, *plain.connection_attributes}
    namespace: dict[str, Any] = {name: LeaseAttribute(name) for name in names}
    namespace |= {
        "__module__": plain.__module__,
        "__qualname__": plain.__qualname__,
        "plain_class": plain,
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
    wrapper.pinned = None
    wrapper.outliving = []
