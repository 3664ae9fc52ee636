"""The connection that belongs to a unit, because its session was changed or it was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db.backends.signals import connection_created

from . import flows, sharing, turns
from .lease import Lease, LeaseState
from .leases_base import LeasesBase
from .resetting import time_limit

if TYPE_CHECKING:
    from .pool_slots import Slot


class PinnedLeases(LeasesBase):
    """Pins a connection to its unit, and makes its session what it was."""

    def begin_pin(self, block: object) -> set[object] | None:
        """Let the calling code's connection belong to the unit while a block is open.

        :return: the blocks that keep it so; None if a statement has pinned it, to the end.
        """
        self.ensure_connection()
        lease = self.lease_here()
        # A plain thread pins nothing, but notes that it has changed the session.
        is_changed = self.pinned is not None or (self.unit is None and lease.is_changed)
        self.pin(lease)
        if lease.pin is not None and not lease.is_needed and self.is_in_library_thread():
            self.end_flow_of(lease)  # the block may end in another thread
        lease = self.pinned or lease
        lease.is_changed = True
        if not is_changed:
            lease.pin_blocks = set()
        # A second task enters a block on the pin → the first, which has pinned it, leaves its
        # own → the second would go on in a clean session → the last one to leave ends the pin.
        if lease.pin_blocks is not None:
            lease.pin_blocks.add(block)
        return lease.pin_blocks

    def pin(self, lease: Lease) -> None:
        """Let a connection belong to the unit: all its code uses it, in turns."""
        lease.is_pinned_by_transaction = False  # whoever pins it now has another reason
        if lease.pin is not None or self.pinned is not None or lease.slot is None:
            return
        if self.unit is None or self.unit.ended:
            return
        lease.pin = sharing.pin(self, lease)
        self.pinned = lease
        self.share(lease)
        if lease.scopes:
            self.block_begins(lease, lease.commit_on_exit)
        self.pinned_in = lease.slot.pool
        self.pinned_in.pin_began()
        if lease.slot.holder is not None:
            lease.slot.holder.note_site()

    def unpin(self) -> Lease | None:
        """End the pin; the caller gives the connection back."""
        lease, self.pinned = self.pinned, None
        self.share(None)
        if lease is not None and lease.pin is not None:
            lease.pin.active = False
            lease.pin = None
            pool, self.pinned_in = self.pinned_in, None
            if pool is not None:
                pool.pin_ended()
        return lease

    def block_begins(self, lease: Lease, autocommit: bool) -> None:
        """Let code outside a block on the pinned connection see it as it is around the block.

        It would else take the block for its own: ``on_commit()`` registers there. What it
        does on the connection waits for its turn, after the block.
        """
        stand_in = Lease(self.engine)
        stand_in.is_stand_in, stand_in.state = True, LeaseState.HELD
        if lease.slot is not None:
            stand_in.assign(lease.slot.attributes)
        stand_in.connection, stand_in.autocommit = lease.connection, autocommit
        stand_in.pin, stand_in.on_loop = lease.pin, lease.on_loop
        self.share(stand_in)

    def block_is_over(self, lease: Lease) -> None:
        """Let all code of the unit see the pinned connection again."""
        if self.pinned is lease:
            self.share(lease)

    def share(self, lease: Lease | None) -> None:
        """Let code outside any block find a lease; a stand-in before it has done its duty."""
        before, self.shared = self.shared, lease
        if before is not None and before.is_stand_in:
            before.end()
            before.pin = None

    def beside_block(self, action: Callable[..., Any], *args: Any) -> Any:
        """Do what code outside a block on the pinned connection may do only after that."""
        if self.shared is self.pinned:
            return action(*args)  # as it mostly is
        lease = self.lease_here()
        if not lease.is_stand_in:
            return action(*args)
        with turns.turn(lease, self):
            return action(*args)

    def end_pin(self, blocks: set[object]) -> None:
        """End the pin of blocks: its session is reset before anybody else gets it.

        :param blocks: of ``begin_pin()``; all have ended.
        """
        # A plain thread's was never pinned.
        lease = self.present_lease() if self.unit is None else self.pinned
        if lease is None or lease.pin_blocks is not blocks:
            return  # it has ended with its connection; another may have come since
        lease.pin_blocks = None
        if self.unit is not None:
            self.unpin()
        if lease.flow is not None:
            if self.is_in_library_thread() and not lease.is_needed:
                self.end_flow_of(lease)
            return  # its flow gives it back
        if lease.is_needed:
            self.outlives(lease)
        else:
            self.give_back(lease)

    def reset_slot(self, slot: Slot, note: Callable[[Lease], None]) -> None:
        """Make the session of a slot what it was when it was opened, and give the slot back.

        It counts as a new connection, of which Django's signal tells.

        :param note: is given the lease that the slot has meanwhile.
        """
        lease = Lease(self.engine, flows.current_flow())
        lease.slot, lease.state = slot, LeaseState.OPENING
        note(lease)
        try:
            self.replace_lease(self.present_lease(), lease)
            with time_limit(self.engine, slot.connection):
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
