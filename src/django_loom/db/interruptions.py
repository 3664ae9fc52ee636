"""What becomes of a connection when a wait for the server was cut short."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Any as _Base  # a BaseDatabaseWrapper; Django has no types

    from .lease import Lease
else:
    _Base = object


class InterruptionsMixin(_Base):
    """Leaves a state that is true: the transaction must roll back, or the connection is closed."""

    connection: Any
    leased: bool

    def interrupted(self, lease: Lease | None = None) -> None:
        """Leave a state that is true after a wait on the server was cut short."""
        here = lease or self.lease_here()
        of = here if self.leased else self
        if of.connection is None:
            return
        if of.in_atomic_block:
            # What the statement did is not known: the block must not be committed
            # by code that swallows the exception.
            of.needs_rollback = True
            usable = self.engine.transaction_is_usable(of.connection)
        else:
            usable = self.engine.is_idle(of.connection, of.autocommit)
        if usable:
            return
        # As BaseDatabaseWrapper.close() does in a transaction: the exit of the
        # atomic block then knows that the server rolls back by itself. While it
        # commits, Atomic has unset in_atomic_block already; autocommit tells.
        of.closed_in_transaction = of.in_atomic_block or not of.autocommit
        # What follows would run without the session that it relies on, such as its search_path.
        here.session_is_lost = here.pin is not None
        self.close_in_any_state(here)
        if not of.closed_in_transaction:
            of.connection = None

    def _commit(self) -> None:
        try:
            super()._commit()
        except Exception:
            raise
        except BaseException:
            self.interrupted()
            raise

    def _rollback(self) -> None:
        try:
            super()._rollback()
        except Exception:
            raise
        except BaseException:
            self.interrupted()
            raise
