"""Cursors that know the lease on which they were made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from django.db.backends.utils import CursorDebugWrapper, CursorWrapper
from greenlet import getcurrent

from django_loom.bridge import current_unit, unit_in_context

from . import turns
from .function_blocks import beginning_in_context, note_statement, require_blocks
from .lease import Lease, LeaseState
from .scopes import scopes_in_context

if TYPE_CHECKING:
    from .library_threads import SpareLease
    from .wrapper import LoomDatabaseMixin


class LeasedCursorMixin:
    """Runs each statement on the connection that its code has at that moment.

    Between two statements of one cursor the code may have awaited something else
    and so given its connection back: another task may have a transaction open on
    it by now. The cursor then moves to the connection that the code gets next. In an
    open transaction it stays, whoever uses it.
    """

    cursor: Any
    db: LoomDatabaseMixin
    spare: SpareLease | None = None  # in a library's thread
    was_begun = True  # the statement that was interrupted

    def __init__(self, cursor: Any, db: LoomDatabaseMixin) -> None:
        super().__init__(cursor, db)  # type: ignore[call-arg]
        self._lease = db.lease_here() if db.leased else db.plain_lease
        self._unit = (unit_in_context() or current_unit()) if db.leased else None

    def close(self) -> None:
        """Close the cursor."""
        self.cursor.close()
        self.spare = None

    def _execute(self, *args: Any) -> Any:
        return self._run(super()._execute, args)  # type: ignore[misc]

    def _executemany(self, *args: Any) -> Any:
        return self._run(super()._executemany, args)  # type: ignore[misc]

    def callproc(self, *args: Any) -> Any:
        """Call a stored procedure; see Django's ``CursorWrapper``."""
        return self._run(super().callproc, args)  # type: ignore[misc]

    def _run(self, execute: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        db = self.db
        if beginning_in_context() is not None:
            execute = self._checked(execute)
        # Cancelled while we wait for the turn, or for a connection → another's statement runs on
        # the cursor's lease, and would be ended in place of ours → that counts from here on only.
        is_begun = False
        try:
            if not db.leased and not self._lease.scopes:
                is_begun = True
                return execute(*args)
            lease = self._lease
            current = getcurrent()
            is_held = lease.state is LeaseState.HELD
            # The flow's own still, as it mostly is: db.lease_here() would return it, too.
            is_flows = (
                is_held
                and lease.on_loop
                and lease.flow is current
                and scopes_in_context() is None
                and db.shared is None
                and db.unit is not None
            )
            if not is_flows and not (is_held and lease.scopes):
                lease = db.lease_here()
            # Not our flow's: a unit's end may have taken the pin off it, in this very moment.
            is_shared = lease.flow is not current
            if is_shared or lease.scopes or lease.pin is not None or lease.open_cursors:
                with turns.turn(lease, db):
                    # Only now: who had the turn may have ended the transaction, and
                    # given the connection back.
                    lease = self._lease_now()
                    self._move_to(lease)
                    is_begun = True
                    result = execute(*args)
                    note_statement(db.alias)
            else:
                if lease is not self._lease or lease.state is not LeaseState.HELD:
                    self._move_to(lease)
                is_begun = True
                result = execute(*args)
        except Exception:
            if db.leased:
                self._settle()
            raise
        except BaseException:
            self.was_begun = is_begun
            if is_begun:
                self._interrupted()
            raise
        if db.leased:
            self._settle()
        return result

    def _checked(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        # Not before: while a thread waits for its turn in a block, that may be rolled back.
        def checked(*args: Any) -> Any:
            require_blocks(self.db.alias)
            return execute(*args)

        return checked

    def _lease_now(self) -> Lease:
        lease = self._lease
        if lease.scopes and lease.state is LeaseState.HELD:
            return lease
        return self.db.lease_here()

    def _lease_to_keep(self) -> Lease:
        lease = self._lease_now()
        if lease.state is LeaseState.HELD or not self.db.leased:
            return lease
        self.db.take(trusted=current_unit() is self._unit)
        return self._lease_now()

    def _move_to(self, lease: Lease) -> None:
        if lease is self._lease and lease.state is LeaseState.HELD:
            return
        db = self.db
        if not db.leased:
            return
        if lease.state is not LeaseState.HELD:
            # Whoever made the cursor may go on with it, though the object is of a unit whose
            # cursor it was reading when it was made.
            db.take(trusted=current_unit() is self._unit)
        lease = db.lease_here()
        if lease is not self._lease:
            self.cursor = db.create_cursor()
            self._lease = lease

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep the connection for a block in which the driver's own cursor uses it."""
        lease = self._lease_to_keep()
        self._move_to(lease)
        require_blocks(self.db.alias)
        lease.open_cursors += 1
        if not lease.on_loop and self.db.leased:
            self.db.statement_ends(lease)  # it has the lease from now on
        try:
            yield
        except (Exception, GeneratorExit):
            raise
        except BaseException:
            self._interrupted()
            raise
        finally:
            lease.open_cursors -= 1
            if self.db.leased:
                self._settle()
                self.db.give_back_if_unneeded(lease)

    def _settle(self) -> None:
        lease = self._lease
        if lease.state is LeaseState.HELD:
            try:
                if lease.pin is None and lease.engine.session_is_changed(lease.connection):
                    self.db.pin(lease)
                if not lease.on_loop:
                    self.db.statement_ends(lease)
            except BaseException:
                self.db.drop_unneeded(lease)
                raise

    def _interrupted(self) -> None:
        self.db.interrupted(self._lease)


class LeasedCursor(LeasedCursorMixin, CursorWrapper):
    """Django's cursor wrapper, following its lease."""


class LeasedDebugCursor(LeasedCursorMixin, CursorDebugWrapper):
    """Django's cursor wrapper that logs queries, following its lease."""


class FetchingCursorMixin(LeasedCursorMixin):
    """For drivers whose fetches wait as well, and may leave a transaction half done.

    SQLite rolls a whole transaction back by itself if one of its statements is
    interrupted while its rows are fetched, as those of INSERT ... RETURNING.
    """

    has_turn = False  # whoever fetches by this cursor has it

    def _turn(self) -> AbstractContextManager[None]:
        return nullcontext() if self.has_turn else turns.turn(self._lease, self.db)

    def __getattr__(self, name: str) -> Any:
        value = super().__getattr__(name)  # type: ignore[misc]
        return self._noting(value) if name in CursorWrapper.WRAP_ERROR_ATTRS else value

    def _noting(self, fetch: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            is_begun = False  # see _run()
            try:
                with self._turn():
                    is_begun = True
                    return fetch(*args, **kwargs)
            except Exception:
                raise
            except BaseException:
                if is_begun:
                    self._interrupted()
                raise

        return call


class FetchingCursor(FetchingCursorMixin, CursorWrapper):
    """Django's cursor wrapper, following its lease."""


class FetchingDebugCursor(FetchingCursorMixin, CursorDebugWrapper):
    """Django's cursor wrapper that logs queries, following its lease."""
