"""Leases in threads that go on to other work, of which nobody tells: a library's, an executor's."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.db import Error

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
    """Gives back after each statement, each block and each cursor."""

    def is_in_library_thread(self) -> bool:
        """Tell if nobody ends what the calling code leases."""
        return (self.unit is not None or serving.is_on()) and flows.ends_at_once()

    def statement_ends(self, lease: Lease) -> None:
        """Let go of a lease where nobody will tell of the flow's end.

        Such a thread goes on to other units' work, and the flow that it begins with has no
        end → a lease would be that flow's for ever, a pinned one too, which its unit then
        leaves alone → each statement and each block ends the flow. Without a unit there is
        none to pin a changed session to: that stays the thread's, until it closes it.

        A cursor may be closed in another thread, or by the garbage collector, while this one
        uses the lease for something else → it has the lease from its beginning, and the
        thread has another.
        """
        if lease.scopes or lease.flow is None or lease.state is LeaseState.OPENING:
            return
        if not self.is_in_library_thread():
            return
        try:
            if self._stays_with_thread(lease):
                return
            if lease.open_cursors and self.pinned is None and self._keeps(lease):
                self.pin(lease)  # what comes next in the unit is in the same transaction
        except BaseException:
            self.drop_unneeded(lease)
            raise
        self.end_flow_of(lease)

    def _stays_with_thread(self, lease: Lease) -> bool:
        """Tell if the lease has a changed session, or a transaction, and no unit to pin it to."""
        if self.unit is not None:
            return False
        if lease.state is not LeaseState.HELD or lease.in_atomic_block:
            return True
        engine, connection = lease.engine, lease.connection
        return engine.is_open(connection) and not (
            lease.autocommit == self.settings_dict["AUTOCOMMIT"]
            and engine.is_idle(connection, lease.autocommit)
            and not (lease.closed_in_transaction or lease.is_changed)
            and not engine.session_is_changed(connection)
            and not self.pool_options.per_unit
        )

    def is_threads_own(self, lease: Lease) -> bool:
        """Tell if a thread without a unit keeps the lease when its function has ended."""
        if lease.state is not LeaseState.HELD or lease.is_needed:
            return False
        return self._stays_if_known(lease)

    def _stays_if_known(self, lease: Lease) -> bool:
        """Ask an engine that may fail, of a lease that goes then."""
        try:
            return self._stays_with_thread(lease)
        except Exception:
            return False  # whoever gives it back meets the same error

    def block_ends(self, lease: Lease) -> None:
        """Take a lease from its thread, where its last block ends in another one.

        A generator is iterated in several threads, and has a block → that ends in another
        thread than has the lease, of which nobody tells the end: the lease would be that
        thread's for ever. It may just begin a statement → both would use one connection →
        who takes the claim has it. From now on, for a moment later it is in no block.
        """
        if lease.flow is None or lease.of_thread is None or lease.flow is flows.current_flow():
            return
        if self._stays_if_known(lease):
            return
        threads_leases = lease.of_thread()
        if threads_leases is not None and threads_leases.pop(lease, None) is not None:
            lease.claim = [None]

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

    def is_usable(self) -> bool:
        """Tell if the database answers, as health checks ask; see Django's ``DatabaseWrapper``.

        They call ``ensure_connection()`` first, which has given its connection back here.
        """
        if self.connection is not None or not self.is_in_library_thread():
            return bool(super().is_usable())
        try:
            self.ensure_connection()
        except Error:
            return False
        try:
            return bool(super().is_usable())
        finally:
            self.connection_ensured()

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
        flow = flows.current_flow()
        if flow is None or self.leases.get(flow) is not lease:
            return True  # it is the unit's, or of a cursor that the code reads
        try:
            lease.claim.pop()  # type: ignore[union-attr]
        except IndexError:
            del self.leases[flow]
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
        if lease.flow is not flows.current_flow():
            lease.flow = None  # what its thread has of it is that thread's to change
        self.flow_ends(lease)
