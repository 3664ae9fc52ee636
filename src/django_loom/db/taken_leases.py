"""Taking a connection from the pool."""

from __future__ import annotations

import sys
import time
from asyncio import _get_running_loop
from contextlib import suppress

from greenlet import getcurrent

from django_loom.bridge import SyncCall, unit_in_context

from . import flows, registry
from .holders import is_users
from .lease import Lease, LeaseState
from .leases_base import LeasesBase
from .refusals import refuse_in_coroutine, session_lost


class TakenLeases(LeasesBase):
    """Takes leases, and opens the connections that the pool does not have yet."""

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
        lease.pin_blocks = before.pin_blocks
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
