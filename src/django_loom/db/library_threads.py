"""Leases in threads that go on to other work, of which nobody tells: a library's, an executor's."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from . import flows, serving
from .lease import Lease, LeaseState
from .leases_base import LeasesBase


class SpareLease:
    """Has the connection on which a cursor was made, until the cursor runs something or goes."""

    __slots__ = ("_lease", "_wrapper")

    def __init__(self, lease: Lease, wrapper: LibraryThreadLeases) -> None:
        self._lease = lease
        self._wrapper = wrapper

    def __del__(self) -> None:
        with suppress(Exception):  # at interpreter exit anything may be missing
            self._wrapper.end_spare(self._lease)


class LibraryThreadLeases(LeasesBase):
    """Gives back after each statement, each block, and each cursor that has run nothing."""

    def is_in_library_thread(self) -> bool:
        """Tell if nobody ends what the calling code leases."""
        return (self.unit is not None or serving.is_on()) and flows.ends_at_once()

    def statement_ends(self, lease: Lease) -> None:
        """Let go of a lease where nobody will tell of the flow's end.

        Such a thread goes on to other units' work, and the flow that it begins with has no
        end → a lease would be that flow's for ever, a pinned one too, which its unit then
        leaves alone → each statement and each block ends the flow. Without a unit there is
        none to pin a changed session to: that stays the thread's, until it closes it.
        """
        if lease.scopes or lease.open_cursors or lease.state is LeaseState.OPENING:
            return
        if lease.flow is None or not self.is_in_library_thread():
            return
        try:
            if self.unit is None and not (self.is_as_taken(lease) or lease.is_broken()):
                return
        except BaseException:
            self.drop_unneeded(lease)
            raise
        self.end_flow_of(lease)

    def end_flow_of(self, lease: Lease) -> None:
        """Let go of a lease of the calling thread."""
        if lease.flow is flows.current_flow():
            flows.forget(lease, self)
            self.flow_ends(lease)

    def cursor_in_thread(self, make: Callable[[], Any]) -> Any:
        """Make a cursor; in a library's thread its connection is spare until it runs something."""
        if not self.is_in_library_thread():
            return make()
        self.lease_here()
        cursor = make()
        lease = self.present_lease()
        if lease is None or lease.flow is None or lease.flow is not flows.current_flow():
            return cursor
        if lease.pin is None and self._is_spare(lease):
            self._spare(lease)
            spare = SpareLease(lease, self)
            with suppress(AttributeError):  # a tool's own object: it moves when it runs
                cursor.spare = spare
        else:
            self.statement_ends(lease)
        return cursor

    def connection_ensured(self) -> None:
        """Let go of a connection that was only asked for, as a health check does."""
        lease = self.present_lease()
        if lease is None or lease.flow is None or not self.is_in_library_thread():
            return
        if self.unit is None or self.unit.ended or lease.pin is not None:
            self.statement_ends(lease)
        elif self._is_spare(lease):
            self._spare(lease)  # whose end that of the unit is

    def _is_spare(self, lease: Lease) -> bool:
        try:
            return self.is_as_taken(lease)
        except BaseException:
            self.drop_unneeded(lease)
            raise

    def _spare(self, lease: Lease) -> None:
        flows.forget(lease, self)  # the thread may outlive the object
        lease.claim = [None]

    def claims(self, lease: Lease) -> bool:
        """Tell if the calling thread still has the lease that it has not used so far.

        The unit ends, or the cursor is dropped, in another thread → both would use one
        connection → who takes the claim has it, and the other one finds none.
        """
        try:
            lease.claim.pop()  # type: ignore[union-attr]
        except IndexError:
            self.leases.pop(flows.current_flow(), None)  # type: ignore[arg-type]
            return False
        lease.claim = None
        flows.note(lease, self)
        return True

    def end_spare(self, lease: Lease) -> None:
        """Give back a lease that its thread has not used, from whatever thread."""
        claim = lease.claim
        if not claim:
            return
        try:
            claim.pop()
        except IndexError:
            return
        if lease.flow is flows.current_flow():
            self.flow_ends(lease)
        else:
            lease.flow = None  # what its thread has of it is that thread's to change
            self.give_back(lease)
