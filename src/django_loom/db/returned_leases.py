"""How a lease ends: at a wait, with its flow or its block."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django_loom.bridge import finish_all

from . import flows, resetting
from .lease import Lease, LeaseState
from .leases_base import LeasesBase

if TYPE_CHECKING:
    from .pool_slots import Slot


class ReturnedLeases(LeasesBase):
    """Gives connections back to their pool, fit for the next user, or closed."""

    def give_back(self, lease: Lease) -> None:
        """Return a connection to its pool, fit for the next user, or close it."""
        if lease.slot is None:
            self._forget(lease)
            return
        engine, connection = self.engine, lease.connection
        try:
            fit = not (lease.closed_in_transaction or lease.left_cursors or lease.open_cursors)
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
        except BaseException:
            self.drop(lease)
            raise
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

    def drop_unneeded(self, lease: Lease) -> None:
        """Close a connection of which the engine fails to tell the state, unless it is in use.

        Its flow goes on, or ends, without it → nobody would come by for it any more, and its
        place in the pool would be lost for ever.
        """
        if lease.pin is None and not lease.is_needed:
            self.drop(lease)

    def _forget(self, lease: Lease) -> None:
        if lease.flow is not None:
            flows.forget(lease, self)
            if self.leases.get(lease.flow) is lease:
                del self.leases[lease.flow]
        if self.pinned is lease:
            self.unpin()

    def give_back_if_idle(self, lease: Lease) -> None:
        """Return a connection of a flow unless something needs it; its code waits now."""
        try:
            if lease.is_pinned_by_transaction and self.pinned is lease and self.is_as_taken(lease):
                self.unpin()
            if lease.pin is None and lease.is_idle(self.settings_dict["AUTOCOMMIT"]):
                if self.engine.session_is_changed(lease.connection) and self.pinned is None:
                    self.pin(lease)
                else:
                    self.give_back(lease)
            elif lease.is_broken():
                self.drop(lease)
            elif self._has_open_transaction(lease):
                # A middleware turns autocommit off, and waits for its view → the view's code,
                # in another flow, would write on another connection, and commit → it is the
                # unit's.
                self.pin(lease)
                lease.is_pinned_by_transaction = True
        except BaseException:
            self.drop_unneeded(lease)
            raise

    def _has_open_transaction(self, lease: Lease) -> bool:
        """Tell if a flow that waits has a transaction open without a block."""
        return (
            lease.state is LeaseState.HELD
            and lease.pin is None
            and self.pinned is None
            and not lease.is_needed
            and self._keeps(lease)
        )

    def flow_ends(self, lease: Lease) -> None:
        """Let go of the lease of a flow that has ended, unless something else needs it."""
        if lease.flow is not None and self.leases.get(lease.flow) is lease:
            del self.leases[lease.flow]
        lease.flow = None
        try:
            if lease.pin is None and self.is_as_taken(lease):
                # As it mostly is: what give_back() does, without the calls.
                slot = lease.end()
                if slot is not None:
                    slot.suspect = lease.errors_occurred
                    slot.pool.release(slot)
            else:
                self._flow_leaves(lease)
        except BaseException:
            self.drop_unneeded(lease)
            raise

    def _flow_leaves(self, lease: Lease) -> None:
        """Let go of a lease that is not as it was taken."""
        if lease.slot is not None and lease.slot.holder is not None:
            lease.slot.holder.call_ends()
        if lease.is_needed:
            self.outlives(lease)
            return
        if lease.pin is not None:
            return
        if lease.state is LeaseState.HELD and self.pinned is None and self._keeps(lease):
            self.pin(lease)
        else:
            self.give_back(lease)

    def is_as_taken(self, lease: Lease) -> bool:
        """Tell if the next user could have the connection as it is, and nothing needs it."""
        return (
            lease.is_idle(self.settings_dict["AUTOCOMMIT"])
            and not (lease.closed_in_transaction or lease.left_cursors or lease.is_changed)
            and not lease.engine.session_is_changed(lease.connection)
            and not self.pool_options.per_unit
        )

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
        if lease.claim:
            self.end_spare(lease)  # its block has ended in another thread
        elif lease.flow is None and lease.pin is None:
            if not lease.is_needed:
                if lease in self.outliving:
                    self.outliving.remove(lease)
                self.give_back(lease)
            elif lease.is_left or (self.unit is not None and self.unit.ended):
                self.end_left_block(lease)
        else:
            self.statement_ends(lease)  # no statement follows a block's last

    def close_in_any_state(self, lease: Lease) -> None:
        """Close the connection below a transaction, which learns of it at its end."""
        connection = lease.connection
        slot = lease.end()
        if slot is not None:
            slot.pool.discard(slot)
        if lease.in_atomic_block or lease.closed_in_transaction:
            lease.connection = connection  # as Django's, closed, until the block ends
        lease.close_left_cursors()

    def close_below_block(self, lease: Lease) -> None:
        """Close the connection of a block that is left by code which can't wait."""
        lease.run_on_commit = []
        if lease.closed_in_transaction or lease.connection is None:
            return
        lease.session_is_lost = lease.pin is not None
        self.close_in_any_state(lease)
        lease.closed_in_transaction = lease.needs_rollback = True

    def let_go(self) -> None:
        """Give back everything: `del connections[alias]` has taken the object away."""
        pinned = self.unpin()
        leases = {*self.leases.values(), *([] if pinned is None else [pinned])}
        finish_all(
            partial(self.close_in_any_state if lease.is_needed else self.give_back, lease)
            for lease in leases
        )

    def forget_all(self) -> object:
        """Part with every connection, closing none; return what has them."""
        inherited = [(lease.slot, lease.connection) for lease in self.leases.values()]
        for lease in list(self.leases.values()):
            lease.end()
        self.leases.clear()
        self.pinned = self.pinned_in = self.shared = None
        return inherited
