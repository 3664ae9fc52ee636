"""How a database wrapper gets a connection from the pool, and gives it back."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import DatabaseError
from greenlet import getcurrent

from django_loom.bridge import SyncCall, current_call

from . import registry, scopes
from .pool_options import PoolOptions
from .pool_slots import Slot

if TYPE_CHECKING:
    from typing import Any as _Base  # a BaseDatabaseWrapper; Django has no types
else:
    _Base = object


class LeasingMixin(_Base):
    """The leases of ``LoomDatabaseMixin``: slots of a pool, taken and given back."""

    connection_attributes: ClassVar[tuple[str, ...]] = ("autocommit",)
    """Attributes of the wrapper that describe its present connection."""
    closing_a_cursor_waits: ClassVar[bool] = True
    """Whether the driver has to tell the server that a cursor is closed."""

    connection: Any
    autocommit: bool
    in_atomic_block: bool
    savepoint_ids: list[Any]
    atomic_blocks: list[Any]
    needs_rollback: bool
    closed_in_transaction: bool
    errors_occurred: bool

    slot: Slot | None = None
    owner: SyncCall | None = None  # the run_sync() call that uses this wrapper
    managed: bool = False  # django.db.connections handed it out; no copy of somebody's
    shared: bool = False  # managed, for code on loops, used by one call after the other
    pooled: bool = False  # a thread's, for code that a server on a loop has sent there
    used_on_loop: bool = False
    generation: int = 0  # grows when the wrapper goes to another call
    pinned_cursors: int = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.scopes: list[scopes.Scope] = []
        self.left_cursors: list[Any] = []  # open in the server until the connection ends
        super().__init__(*args, **kwargs)

    @cached_property
    def pool_options(self) -> PoolOptions:
        """``OPTIONS["pool"]``, checked; the defaults for a copy of a connection."""
        value = self.settings_dict["OPTIONS"].get("pool") if self.managed else None
        return PoolOptions.from_settings(self.alias, value)

    # What an engine may override.

    def connection_is_idle(self) -> bool:
        """Tell, without a wait, if the connection could serve another caller now."""
        return not self.in_atomic_block

    def transaction_is_usable(self) -> bool:
        """Tell, without a wait, if the open transaction can be rolled back as usual."""
        return True

    def connection_seems_alive(self) -> bool:
        """Tell, without a wait, if the connection is not known or feared to be lost."""
        return True

    def reset_connection(self) -> bool:
        """Make a connection that is not idle so, without a wait; tell if done."""
        return False

    def adapt_pool_options(self, options: PoolOptions) -> PoolOptions:
        """Return the options that this database can have."""
        return options

    @staticmethod
    def close_connection(connection: Any) -> None:
        """Close a driver's connection without waiting for the server."""
        connection.close()

    # Leases.

    @property
    def lease_timeout(self) -> float:
        """Seconds that code waits for its turn on a connection."""
        return self.pool_options.timeout

    @property
    def uses_pool(self) -> bool:
        """Whether the connection comes from the pool: in a server on a loop, or if that is set."""
        if self.shared or self.pooled:
            return True
        return self.managed and bool(self.settings_dict["OPTIONS"].get("pool"))

    def connect(self) -> None:
        """Get a connection: from the pool on a loop or if it is set, else a new one."""
        self._check_owner()
        if not self.uses_pool:
            super().connect()
            return
        self.check_settings()
        # What a transaction has left whose end was cut short: it would run now.
        self.run_on_commit: list[Any] = []
        self.run_commit_hooks_on_set_autocommit_on = False
        slot = registry.get(self).acquire()
        self.slot = slot
        self.used_on_loop = current_call() is not None
        try:
            if slot.connection is not None:
                self._attach(slot)
            if slot.connection is None:
                self._open(slot)
        except BaseException:
            if slot.connection is None and self.connection is not None:
                self.close_connection(self.connection)  # not opened to the end: not the pool's
            self.drop_slot()
            raise

    def note_lease_site(self) -> None:
        """Note the line that took the lease, which may outlive the call it is in."""
        if self.slot is not None and self.slot.holder is not None:
            self.slot.holder.note_site()

    def _open(self, slot: Slot) -> None:
        started = time.monotonic()
        super().connect()
        self._keep_attributes(slot)
        slot.pool.opened(slot, self.connection, time.monotonic() - started)

    def _attach(self, slot: Slot) -> None:
        """Take over the slot's connection, or find that it is lost."""
        max_age = self.settings_dict["CONN_MAX_AGE"]
        self.__dict__.update(slot.attributes)
        self.connection = slot.connection
        self.in_atomic_block = False
        self.savepoint_ids = []
        self.atomic_blocks = []
        self.needs_rollback = False
        self.closed_in_transaction = False
        self.errors_occurred = False
        self.health_check_enabled = False
        self.health_check_done = True
        self.close_at = None if max_age is None else time.monotonic() + max_age
        check = slot.suspect or self.settings_dict["CONN_HEALTH_CHECKS"]
        if not self.connection_seems_alive() or (check and not self.is_usable()):
            self.connection = None
            slot.pool.drop_connection(slot, lost=True)
        slot.suspect = False

    def _keep_attributes(self, slot: Slot) -> None:
        present = self.__dict__
        slot.attributes = {
            name: present[name] for name in self.connection_attributes if name in present
        }

    def _give_back(self) -> None:
        """Return the slot to its pool, with its connection if that is fit for use."""
        slot, self.slot = self.slot, None
        assert slot is not None
        fit = (
            not self.closed_in_transaction
            and self.autocommit == self.settings_dict["AUTOCOMMIT"]
            and self.connection_is_idle()
            and not self.left_cursors
        ) or self.reset_connection()
        slot.suspect = self.errors_occurred
        self.connection = None
        if fit:
            slot.pool.release(slot)
        else:
            slot.pool.discard(slot)
            self._close_left_cursors()

    def drop_slot(self) -> None:
        """Close the connection, whatever its state, and free its place in the pool."""
        slot, self.slot = self.slot, None
        self.connection = None
        if slot is not None:
            slot.pool.discard(slot)
        self._close_left_cursors()

    def _close_left_cursors(self) -> None:
        """Tell the driver's objects that they are closed, as their connection is."""
        while self.left_cursors:
            self.left_cursors.pop().close()

    @property
    def lease_is_idle(self) -> bool:
        """Whether there is a lease, and neither a transaction nor a cursor needs it."""
        return (
            self.slot is not None
            and not self.in_atomic_block
            and not self.pinned_cursors
            and self.autocommit == self.settings_dict["AUTOCOMMIT"]
        )

    def give_back_if_idle(self) -> None:
        """Return the slot unless a transaction or a server-side cursor needs it."""
        if self.lease_is_idle:
            self._give_back()

    def give_back_if_unowned(self) -> None:
        """Return the slot, and the wrapper, when what outlived their call has ended."""
        if not self.shared or self.owner is not None:
            return
        if self.in_atomic_block or self.pinned_cursors or self.scopes:
            return
        if self.slot is not None:
            self._give_back()
        else:
            self._close_left_cursors()
        registry.park(self)

    def thread_has_ended(self) -> None:
        """Let go of the connection: its thread has ended, and shared it with nobody."""
        if self.connection is None or self.scopes or self.allow_thread_sharing:
            return
        if self.slot is None:
            self.close_connection(self.connection)
        elif self.pinned_cursors:
            self.drop_slot()
        else:
            self._give_back()

    def interrupted(self) -> None:
        """Leave a state that is true after a wait on the server was cut short."""
        if self.connection is None:
            return
        if self.in_atomic_block:
            # What the statement did is not known: the block must not be committed
            # by code that swallows the exception.
            self.needs_rollback = True
            usable = self.transaction_is_usable()
        else:
            usable = self.connection_is_idle()
        if not usable:
            # As BaseDatabaseWrapper.close() does in a transaction: the exit of the
            # atomic block then knows that the server rolls back by itself. While it
            # commits, Atomic has unset in_atomic_block already; autocommit tells.
            self.closed_in_transaction = self.in_atomic_block or not self.autocommit
            self._close_in_any_state()
            if not self.closed_in_transaction:
                self.connection = None

    def _close_in_any_state(self) -> None:
        slot, self.slot = self.slot, None
        if slot is None:
            self.close_connection(self.connection)
        else:
            slot.pool.discard(slot)

    def _check_owner(self) -> None:
        """Refuse code that kept a wrapper that is not its own.

        Nobody would give back what a thread's wrapper leased in a call, as when
        ``connection.cursor`` was looked up in a coroutine and called below it.
        """
        if self.owner is getcurrent():  # never None, as the owner is without a call
            return
        call = current_call()
        if self.allow_thread_sharing or (self.scopes and scopes.is_member(self)):
            return
        if self.shared or (self.managed and call is not None):
            raise DatabaseError(
                f"This connection object to database {self.alias!r} was not taken in this "
                "run_sync() call, and may serve other code now. Take it from "
                "django.db.connections where you use it, and do not keep it."
            )

    def _close(self) -> None:
        if self.slot is None:
            super()._close()
        elif self.in_atomic_block:
            self._close_in_any_state()
        else:
            self._give_back()
