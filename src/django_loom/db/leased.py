"""The connection object of a unit of work: one for all its code, with many leases."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.backends.signals import connection_created
from greenlet import getcurrent, greenlet

from django_loom.bridge import Unit, current_unit

from . import flows, registry, resetting, scopes
from .lease import ATTRIBUTES, Lease, LeaseState
from .wrapper import not_own, refuse_in_coroutine

if TYPE_CHECKING:
    from .pool_slots import Slot
    from .wrapper import LoomDatabaseMixin as _Base
else:
    _Base = object


class LeaseAttribute:
    """An attribute of Django's connection object that the present lease has."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, wrapper: Any, owner: type | None = None) -> Any:
        return self if wrapper is None else getattr(wrapper.lease_here(), self.name)

    def __set__(self, wrapper: Any, value: Any) -> None:
        wrapper.lease_here().__dict__[self.name] = value


class LeasedDatabaseMixin(_Base):
    """Stands before a ``DatabaseWrapper`` class of ours; see ``make_leased()``.

    What the user's code puts on the object is there for the whole unit. What belongs to
    a physical connection is the lease's of the code that asks: that of the transaction
    it is in, else the one pinned to the unit, else that of its flow.
    """

    leased = True
    unit: Unit | None  # None: it is a thread's, with OPTIONS["pool"]
    leases: dict[greenlet, Lease]
    pinned: Lease | None
    outliving: list[Lease]  # whose flow has ended, in the midst of a block

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if not args and not kwargs:
            return object.__new__(cls)  # copy.copy(), which shares what the object has
        # copy() and the test runner make another connection of our class: a plain one.
        return cls.__mro__[2](*args, **kwargs)

    def lease_here(self) -> Lease:
        """Return the lease of the calling code; an empty one if it has none."""
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
        self._replace(before, lease)
        try:
            if lease.slot.connection is not None:
                self._attach(lease)
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

    def _replace(self, before: Lease, lease: Lease) -> None:
        """Put a new lease where the code has an empty or an ended one."""
        flows.forget(before, self)
        if lease.flow is not None:
            self.leases[lease.flow] = lease
            flows.note(lease, self)
        if self.pinned is before and before.pin is not None:  # its connection was closed
            lease.pin, before.pin = before.pin, None
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

    def _attach(self, lease: Lease) -> None:
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

    # How a lease ends.

    def give_back(self, lease: Lease) -> None:
        """Return a connection to its pool, fit for the next user, or close it."""
        if lease.slot is None:
            self._forget(lease)
            return
        fit = not (lease.closed_in_transaction or lease.left_cursors or lease.open_cursors)
        engine, connection = self.engine, lease.connection
        if fit and not (
            lease.autocommit == self.settings_dict["AUTOCOMMIT"]
            and not lease.in_atomic_block
            and engine.is_idle(connection, lease.autocommit)
        ):
            fit = engine.is_open(connection) and engine.reset_transaction(connection)
        changed = lease.is_changed or engine.session_is_changed(connection)
        if fit and (changed or self.pool_options.per_unit):
            resetting.reset(self, lease)
            return
        self.part_with(lease, fit)

    def part_with(self, lease: Lease, fit: bool) -> None:
        """Give the slot of a lease back, with its connection if that is fit for use."""
        suspect = lease.errors_occurred
        slot = self.detach(lease)
        if slot is None:
            return
        slot.suspect = suspect
        if fit:
            slot.pool.release(slot)
        else:
            slot.pool.discard(slot)
            lease.close_left_cursors()

    def detach(self, lease: Lease) -> Slot | None:
        """End a lease, and return the slot that it had."""
        slot = lease.end()
        self._forget(lease)
        return slot

    def drop(self, lease: Lease) -> None:
        """Close the connection, whatever its state, and free its place in the pool."""
        self.part_with(lease, fit=False)

    def _forget(self, lease: Lease) -> None:
        flows.forget(lease, self)
        if lease.flow is not None and self.leases.get(lease.flow) is lease:
            del self.leases[lease.flow]
        if self.pinned is lease:
            self.unpin()

    def give_back_if_idle(self, lease: Lease) -> None:
        """Return a connection of a flow unless something needs it; its code waits now."""
        if lease.pin is None and lease.is_idle(self.settings_dict["AUTOCOMMIT"]):
            if self.engine.session_is_changed(lease.connection) and self.pinned is None:
                self.pin(lease)
            else:
                self.give_back(lease)
        elif lease.is_broken():
            self.drop(lease)

    def statement_ends(self, lease: Lease) -> None:
        """Let go of a lease where nobody will tell of the flow's end.

        Such as a thread of `asyncio.to_thread()`, which goes on to other units' work.
        """
        if self.unit is None or lease.flow is None or lease.is_needed or lease.pin is not None:
            return
        if flows.ends_at_once():
            flows.forget(lease, self)
            self.flow_ends(lease)

    def flow_ends(self, lease: Lease) -> None:
        """Let go of the lease of a flow that has ended, unless something else needs it."""
        if lease.flow is not None and self.leases.get(lease.flow) is lease:
            del self.leases[lease.flow]
        lease.flow = None
        if lease.is_needed:
            self.outliving.append(lease)
            return
        if lease.pin is not None:
            return
        if lease.state is LeaseState.HELD and self.pinned is None and self._keeps(lease):
            self.pin(lease)
        else:
            self.give_back(lease)

    def _keeps(self, lease: Lease) -> bool:
        """Tell if the unit's next code is to find the session as this flow leaves it."""
        if self.unit is None or self.unit.ended:
            return False
        engine, connection = self.engine, lease.connection
        if lease.closed_in_transaction or not engine.transaction_is_usable(connection):
            return False
        return (
            engine.session_is_changed(connection)
            or lease.autocommit != self.settings_dict["AUTOCOMMIT"]
            or not engine.is_idle(connection, lease.autocommit)
        )

    def give_back_if_unneeded(self, lease: Lease) -> None:
        """Return a connection when what outlived its flow has ended."""
        if lease.flow is None and lease.pin is None and not lease.is_needed:
            if lease in self.outliving:
                self.outliving.remove(lease)
            self.give_back(lease)
        elif self.unit is not None and flows.ends_at_once() and lease.flow is flows.current_flow():
            # No statement follows a block's last, which would give the connection back.
            self.give_back_if_idle(lease)

    def close_in_any_state(self, lease: Lease) -> None:
        """Close the connection below a transaction, which learns of it at its end."""
        connection = lease.connection
        slot = lease.end()
        if slot is not None:
            slot.pool.discard(slot)
        if lease.in_atomic_block or lease.closed_in_transaction:
            lease.connection = connection  # as Django's, closed, until the block ends
        lease.close_left_cursors()

    # Pins.

    def pin_here(self) -> Lease:
        """Let the calling code's connection belong to the unit from now on."""
        self.ensure_connection()
        lease = self.lease_here()
        self.pin(lease)
        return lease

    def pin(self, lease: Lease) -> None:
        """Let a connection belong to the unit: all its code uses it, in turns."""
        if lease.pin is not None or self.pinned is not None or lease.slot is None:
            return
        if self.unit is None or self.unit.ended:
            return
        lease.pin = scopes.pin(self, lease)
        self.pinned = lease
        lease.slot.pool.pin_began()
        if lease.slot.holder is not None:
            lease.slot.holder.note_site()

    def unpin(self) -> Lease | None:
        """End the pin; the caller gives the connection back."""
        lease, self.pinned = self.pinned, None
        if lease is not None and lease.pin is not None:
            lease.pin.active = False
            lease.pin = None
            registry.get(self).pin_ended()
        return lease

    def end_pin(self) -> None:
        """End the pin of a block: its session is reset before anybody else gets it."""
        lease = self.unpin()
        if lease is not None and lease.flow is None and not lease.is_needed:
            self.give_back(lease)  # else who needs it does, or its flow

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

    # Sessions.

    def note_session(self, lease: Lease) -> None:
        """Pin a connection whose session a statement has changed."""
        if lease.pin is None and self.engine.session_is_changed(lease.connection):
            self.pin(lease)

    def reset_slot(self, slot: Slot) -> None:
        """Make the session of a slot what it was when it was opened, and give the slot back.

        It counts as a new connection, of which Django's signal tells.
        """
        lease = Lease(self.engine, flows.current_flow())
        lease.slot, lease.state = slot, LeaseState.OPENING
        self._replace(self.lease_here(), lease)
        try:
            self._attach(lease)
            if lease.connection is not None:
                self.engine.reset_session(lease.connection)
                self.init_connection_state()
                connection_created.send(sender=self.__class__, connection=self)
                self.engine.session_begins(lease.connection)
        except BaseException:
            self.drop(lease)
            raise
        self.part_with(lease, fit=lease.connection is not None)

    def unit_ends(self) -> list[LeftOpen]:
        """Undo what the unit has left; return what may cost data.

        Blocks of async code may outlive the unit, in tasks that it has started.
        """
        # A thread of the unit is in a statement on the pinned connection, or about to begin
        # one → it would go on beside the reset, and beside whoever gets the connection next →
        # we take the turn first, and where somebody has it, he gives the connection back.
        ending = self.pinned
        is_ours = ending is not None and ending.turn.acquire_nowait()
        pinned = self.unpin()
        if pinned is not None and not is_ours and pinned.flow is None:
            self.outliving.append(pinned)
        try:
            ended = set(self.outliving) - {pinned}
            if is_ours and pinned is not None:
                ended.add(pinned)
            return self._end_leases(ended)
        finally:
            self.outliving = [lease for lease in self.outliving if lease.slot is not None]
            if is_ours and ending is not None:
                ending.turn.release()

    def _end_leases(self, leases: set[Lease]) -> list[LeftOpen]:
        left = []
        for lease in leases:
            if lease.flow is not None or lease.open_cursors or lease.slot is None:
                continue
            if lease.scopes:
                if lease.scopes[0].opener is None:
                    left.append(self._left_open(lease, lease.slot, autocommit_off=False))
                    self.drop(lease)
                continue
            off = lease.autocommit != self.settings_dict["AUTOCOMMIT"]
            if off or not self.engine.is_idle(lease.connection, lease.autocommit):
                left.append(self._left_open(lease, lease.slot, autocommit_off=off))
            self.give_back(lease)
        return left

    @property
    def is_in_use(self) -> bool:
        """Whether code that outlives the unit still has a connection through the object."""
        return bool(self.leases or self.outliving)

    def _left_open(self, lease: Lease, slot: Slot, *, autocommit_off: bool) -> LeftOpen:
        holder = "nobody known" if slot.holder is None else slot.holder.describe()
        return LeftOpen(self.alias, holder, autocommit_off)

    def let_go(self) -> None:
        """Give back everything: `del connections[alias]` has taken the object away."""
        pinned = self.unpin()
        for lease in {*self.leases.values(), *([] if pinned is None else [pinned])}:
            if lease.is_needed:
                self.close_in_any_state(lease)
            else:
                self.give_back(lease)

    def forget_all(self) -> object:
        """Part with every connection, closing none; return what has them."""
        inherited = [(lease.slot, lease.connection) for lease in self.leases.values()]
        for lease in list(self.leases.values()):
            lease.end()
        self.leases.clear()
        self.pinned = None
        return inherited


class LeftOpen(NamedTuple):
    """A transaction that nobody has ended, and who took its connection."""

    alias: str
    holder: str
    autocommit_off: bool


def _leased_class(plain: Any) -> Any:
    """Return a class of ours with leases, under the name of the plain one."""
    names = {*ATTRIBUTES, *plain.connection_attributes}
    namespace: dict[str, Any] = {name: LeaseAttribute(name) for name in names}
    namespace |= {"__module__": plain.__module__, "__qualname__": plain.__qualname__}
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
