"""The connection object of a unit of work: one for all its code, with many leases."""

from __future__ import annotations

import logging
import sys
from asyncio import _get_running_loop
from functools import cache, partial
from typing import Any, ClassVar

from django.db.backends.base.base import BaseDatabaseWrapper
from greenlet import getcurrent

from django_loom.bridge import SyncCall, Unit, current_unit, unit_in_context

from . import flows, scopes
from .holders import is_users
from .lease import ATTRIBUTES, Lease, LeaseState
from .library_threads import LibraryThreadLeases
from .pinned_leases import PinnedLeases
from .present_leases import PresentLeases, lease_attribute
from .refusals import not_own, refuse_in_coroutine
from .returned_leases import ReturnedLeases
from .taken_leases import TakenLeases
from .unit_jobs import running_jobs
from .unit_leases import UnitLeases
from .wrapper import LoomDatabaseMixin

logger = logging.getLogger("django_loom")

_ensure_connection = BaseDatabaseWrapper.ensure_connection  # test cases put a guard there


class LeasedDatabaseMixin(
    PresentLeases, TakenLeases, ReturnedLeases, LibraryThreadLeases, UnitLeases, PinnedLeases
):
    """Stands before a ``DatabaseWrapper`` class of ours; see ``make_leased()``.

    What the user's code puts on the object is there for the whole unit. What belongs to
    a physical connection is the lease's of the code that asks: that of the transaction
    it is in, else the one pinned to the unit, else that of its flow.
    """

    leased = True
    plain_class: ClassVar[type]  # the class of ours that it stands before
    opens_as_django: ClassVar[bool]  # nobody's class between has another way

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if not args and not kwargs:
            return object.__new__(cls)  # copy.copy(), which shares what the object has
        # copy() and the test runner make another connection of our class: a plain one.
        return cls.plain_class(*args, **kwargs)

    # What Django calls.

    def ensure_connection(self) -> None:
        """Have a connection; in a coroutine do nothing, the query will lease one."""
        is_call = type(getcurrent()) is SyncCall
        if (
            is_call
            and self.unit is not None
            and unit_in_context() is self.unit
            and self.opens_as_django
            and BaseDatabaseWrapper.ensure_connection is _ensure_connection
        ):
            lease = self.present_lease()
            if lease is None and _get_running_loop() is None:
                with self.wrap_database_errors:  # what Django's does, the short way
                    self.connect()
                return
            if lease is not None and lease.connection is not None:
                return
        super().ensure_connection()
        # Django itself uses it now; the user's code may only have looked if there is one.
        if not is_call and is_users(sys._getframe(1)):
            self.connection_ensured()

    def require_own(self) -> None:
        """Refuse code of another unit that has kept the object.

        :raises DatabaseError: saying what to write.
        """
        if self.unit is None:
            super().require_own()
            super().validate_thread_sharing()
            return
        if unit_in_context() is self.unit:  # the short way
            return
        if current_unit() is self.unit or self.allow_thread_sharing or scopes.is_member(self):
            return
        lease = self.lease_here()
        if lease.state is LeaseState.OPENING:  # for code that may have it
            return
        # Code had the object as a reader of another unit's cursor, and waited for a connection →
        # the cursor was closed meanwhile → what the code has on the object is its own still.
        is_flows = lease.flow is not None and lease.flow is flows.current_flow()
        if not (is_flows and lease.state is LeaseState.HELD):
            raise not_own(self.alias)

    def cursor(self) -> Any:
        """Make a cursor, leasing a connection if need be."""
        if type(getcurrent()) is not SyncCall:
            return self.cursor_in_thread(super().cursor)
        is_own = self.unit is not None and unit_in_context() is self.unit
        if is_own and _get_running_loop() is None:
            return self._cursor()  # as it mostly is, the short way
        return super().cursor()

    def close_if_health_check_failed(self) -> None:
        """Check the connection, if the settings want that and the pool has not just done it."""
        if self.settings_dict["CONN_HEALTH_CHECKS"]:
            super().close_if_health_check_failed()

    def validate_thread_sharing(self) -> None:
        """Allow whoever belongs to the unit, in whatever thread."""
        if self.unit is None or unit_in_context() is not self.unit:
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
        if lease.is_stand_in:
            self.beside_block(self.set_autocommit, autocommit, *args)
            return
        if autocommit and lease.scopes and lease.state is LeaseState.ENDED:
            lease.autocommit = autocommit
            return
        super().set_autocommit(autocommit, *args, **kwargs)
        if autocommit and type(getcurrent()) is SyncCall:
            return
        lease = self.lease_here()
        if not autocommit:
            self.note_lease_site(lease)  # named if nobody turns it on again
        self.statement_ends(lease)

    def get_autocommit(self) -> bool:
        """Tell if the connection is in autocommit mode, or will be: this takes none."""
        lease = self.present_lease()
        if lease is None or lease.state is LeaseState.EMPTY:
            refuse_in_coroutine("use a transaction")
            return bool(self.settings_dict["AUTOCOMMIT"])
        return super().get_autocommit()

    def _commit(self) -> None:
        self.beside_block(super()._commit)

    def _rollback(self) -> None:
        self.beside_block(super()._rollback)

    def chunked_cursor(self) -> Any:
        """Make a cursor that may stay open on the server, and so keeps its lease."""
        refuse_in_coroutine("use the database")
        if type(getcurrent()) is SyncCall:
            return self.beside_block(super().chunked_cursor)
        return self.cursor_in_thread(partial(self.beside_block, super().chunked_cursor))

    def interrupted(self, lease: Lease | None = None) -> None:
        """Leave a true state after a wait was cut short; one for a turn changes nothing."""
        found = self.lease_here()
        here = lease or found
        is_beside = here.pin is not None and here.scopes and here is not found
        if not here.is_stand_in and not is_beside:
            super().interrupted(here)

    def close(self) -> None:
        """Close the calling code's connection; see Django's ``BaseDatabaseWrapper``."""
        if self.shared is self.pinned or self.can_wait(self.lease_here()):
            self.beside_block(super().close)  # else it is the block's, which goes on
            self._forget_loss()

    def _forget_loss(self) -> None:
        """Let the code begin a new session where the one that it relied on is lost."""
        lease = self.present_lease()
        if lease is not None:
            lease.session_is_lost = False

    def _close(self) -> None:
        lease = self.lease_here()
        if lease.in_atomic_block or lease.scopes:
            self.close_in_any_state(lease)
        else:
            self.give_back(lease)

    def close_if_unusable_or_obsolete(self) -> None:
        """Do as Django at a request's end, but for what was open around the request."""
        lease = self.present_lease()
        if lease is None:
            return
        if lease.pin is not None and running_jobs(self.unit) > flows.of_this_thread().jobs:
            return  # another thread works on with it, while the request ends
        if lease.connection is None:
            lease.session_is_lost = False  # as Django's, which would be closed here
            return
        scope = scopes.find(self.alias)
        if scope is None or scope.unit is current_unit():
            loss = self.loss_at_close(lease)
            super().close_if_unusable_or_obsolete()
            if loss is not None and lease.slot is None:  # else the unit's end tells of it
                logger.warning(loss)


def _leased_class(plain: Any) -> Any:
    """Return a class of ours with leases, under the name of the plain one."""
    names = {*ATTRIBUTES, *plain.connection_attributes}
    namespace: dict[str, Any] = {name: lease_attribute(name) for name in names}
    namespace |= {
        "__module__": plain.__module__,
        "__qualname__": plain.__qualname__,
        "plain_class": plain,
        "opens_as_django": plain.ensure_connection is LoomDatabaseMixin.ensure_connection,
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
    wrapper.pinned = wrapper.pinned_in = wrapper.shared = None
    wrapper.outliving = []
