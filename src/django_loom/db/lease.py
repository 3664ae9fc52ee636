"""The use of one pooled connection, from its taking to its return."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, ref

from greenlet import greenlet

from django_loom.bridge import Lock, SyncCall

from .engine import Engine

if TYPE_CHECKING:
    from .pool_slots import Slot
    from .scopes import Scope
    from .server_side_cursors import ServerSideCursor


class LeaseState(enum.Enum):
    """Where a lease stands. It only moves on, and never begins again."""

    EMPTY = "no connection taken yet"
    OPENING = "its connection is being opened or checked"
    HELD = "it has a connection"
    ENDED = "its connection went back, or was closed"


class Lease:
    """What belongs to one use of a physical connection.

    Its attributes without a note are those of Django's ``BaseDatabaseWrapper``, where
    one connection object has one connection. A new one is made at each taking, so two
    uses are told apart by ``is``. It is given back when nothing needs it: not the flow
    that took it (a ``run_sync()`` call or a thread), not the unit that it is pinned to,
    no transaction, no server-side cursor.
    """

    # Rarely other than that.
    cursors_in_block: WeakSet[ServerSideCursor] | None = None
    is_changed = False  # its session, where no statement tells of it
    pin_blocks: set[object] | None = None  # the open blocks of pin(), where one has pinned it
    is_pinned_by_transaction = False  # without a block; the pin ends with that
    is_left = False  # by its thread, which has ended in a block
    is_stand_in = False  # for a pinned lease, where a block is open on that
    session_is_lost = False  # with its connection, in the midst of the unit
    # One element, where the thread that took it has not used it yet, and nobody tells that
    # thread's end: who takes the element out, the thread or who ends this, has the lease.
    claim: list[None] | None = None
    # What the thread has that took it, where nobody tells that thread's end.
    of_thread: ref[dict[Lease, Any]] | None = None

    # All else is the instance's own alone: what it has under the name of a class's is looked
    # up in both, at twenty times the cost, and each query asks some thirty times.
    def __init__(self, engine: Engine | None, flow: greenlet | None = None) -> None:
        self.connection: Any = None  # the driver's
        self.autocommit = False
        self.in_atomic_block = False
        self.savepoint_state = 0
        self.savepoint_ids: list[Any] = []
        self.atomic_blocks: list[Any] = []
        self.commit_on_exit = True
        self.needs_rollback = False
        self.rollback_exc: BaseException | None = None
        self.close_at: float | None = None
        self.closed_in_transaction = False
        self.errors_occurred = False
        self.health_check_enabled = False
        self.health_check_done = False
        self.run_on_commit: list[Any] = []
        self.run_commit_hooks_on_set_autocommit_on = False

        self.engine: Any = engine
        self.flow = flow
        self.on_loop = type(flow) is SyncCall
        self.state = LeaseState.EMPTY
        self.slot: Slot | None = None
        self.scopes: list[Scope] = []  # open blocks, the outermost first
        self.open_cursors = 0  # of the server's, that keep the connection
        self.left_cursors: list[Any] = []  # open in the server until the connection ends
        self.pin: Scope | None = None  # while it belongs to its unit
        self._turn: Lock | None = None

    def assign(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes that come by their names."""
        for name, value in attributes.items():
            setattr(self, name, value)

    @property
    def turn(self) -> Lock:
        """The mutex of those who share the connection outside any transaction."""
        if self._turn is None:
            self._turn = Lock()
        return self._turn

    def share_turn(self, other: Lease) -> None:
        """Have the same mutex as another lease, whose place this one takes."""
        self._turn = other.turn

    @property
    def is_needed(self) -> bool:
        """Whether something beside its flow needs the connection."""
        is_shared_now = self._turn is not None and self._turn.locked()
        return bool(
            self.scopes or self.open_cursors or is_shared_now or self.state is LeaseState.OPENING
        )

    def is_idle(self, autocommit: bool) -> bool:
        """Tell if another caller could have the connection now, nothing being lost.

        :param autocommit: what the settings say of the mode.
        """
        return (
            self.state is LeaseState.HELD
            and not self.scopes
            and not self.open_cursors
            and not self.in_atomic_block
            and (self._turn is None or not self._turn.locked())
            and self.autocommit == autocommit
            and self.engine.is_idle(self.connection, self.autocommit)
        )

    def is_broken(self) -> bool:
        """Tell if the connection was lost outside a transaction, which would have to know."""
        return (
            self.state is LeaseState.HELD
            and not self.is_needed
            and not self.in_atomic_block
            and self.pin is None
            and not self.engine.is_open(self.connection)
        )

    def end(self) -> Slot | None:
        """Part with the slot, and return it. Cursors and scopes that know us find us ended."""
        slot, self.slot = self.slot, None
        self.connection = None
        self.state = LeaseState.ENDED
        return slot

    def end_cursors_of_block(self) -> None:
        """Let nobody keep the connection for a cursor that has ended with its transaction."""
        if self.cursors_in_block is None or self.in_atomic_block or self.connection is None:
            return
        with suppress(Exception):  # who gives the connection back meets the same error
            # Without autocommit the transaction goes on, and its cursors too.
            if not self.autocommit or not self.engine.is_idle(self.connection, True):
                return
            cursors, self.cursors_in_block = list(self.cursors_in_block), None
            for cursor in cursors:
                cursor.transaction_ends()

    def close_left_cursors(self) -> None:
        """Tell the driver's objects that they are closed, as their connection is."""
        while self.left_cursors:
            self.left_cursors.pop().close()


ATTRIBUTES = (
    "connection",
    "autocommit",
    "in_atomic_block",
    "savepoint_state",
    "savepoint_ids",
    "atomic_blocks",
    "commit_on_exit",
    "needs_rollback",
    "rollback_exc",
    "close_at",
    "closed_in_transaction",
    "errors_occurred",
    "health_check_enabled",
    "health_check_done",
    "run_on_commit",
    "run_commit_hooks_on_set_autocommit_on",
)
"""The attributes of Django's connection object that belong to a lease."""

_untouched = Lease(None)
DEFAULTS = {
    name: getattr(_untouched, name)
    for name in ATTRIBUTES
    if not isinstance(getattr(_untouched, name), list)  # which could be changed
}
"""What code reads that has no lease."""
