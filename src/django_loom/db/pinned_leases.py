"""The connection that belongs to a unit, because its session was changed or it was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from django.db.backends.signals import connection_created

from . import flows, registry, scopes
from .lease import Lease, LeaseState
from .leases_base import LeasesBase

if TYPE_CHECKING:
    from .pool_slots import Slot


class PinnedLeases(LeasesBase):
    """Pins a connection to its unit, and makes its session what it was."""

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
        if lease is None or lease.flow is not None:
            return  # its flow gives it back
        if lease.is_needed:
            self.outlives(lease)
        else:
            self.give_back(lease)

    def note_session(self, lease: Lease) -> None:
        """Pin a connection whose session a statement has changed."""
        if lease.pin is None and self.engine.session_is_changed(lease.connection):
            self.pin(lease)

    def reset_slot(self, slot: Slot, note: Callable[[Lease], None]) -> None:
        """Make the session of a slot what it was when it was opened, and give the slot back.

        It counts as a new connection, of which Django's signal tells.

        :param note: is given the lease that the slot has meanwhile.
        """
        lease = Lease(self.engine, flows.current_flow())
        lease.slot, lease.state = slot, LeaseState.OPENING
        note(lease)
        self.replace_lease(self.lease_here(), lease)
        try:
            self.attach(lease)
            if lease.connection is not None:
                self.engine.reset_session(lease.connection)
                self.init_connection_state()
                connection_created.send(sender=self.__class__, connection=self)
                self.engine.session_begins(lease.connection)
        except BaseException:
            self.drop(lease)
            raise
        self.part_with(lease, fit=lease.connection is not None)
