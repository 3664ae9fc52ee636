"""Cursors that know the lease on which they were made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from django.db.backends.utils import CursorDebugWrapper, CursorWrapper
from greenlet import getcurrent

from django_loom.bridge import current_unit, unit_in_context

from . import scopes
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
                with scopes.turn(lease, db):
                    # Only now: who had the turn may have ended the transaction, and
                    # given the connection back.
                    lease = self._lease_now()
                    self._move_to(lease)
                    is_begun = True
                    result = execute(*args)
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
        return nullcontext() if self.has_turn else scopes.turn(self._lease, self.db)

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


class ServerSideCursor:
    """A cursor whose rows still come from the server, so it keeps its connection.

    ``aiterator()`` runs the slices of one generator in separate ``run_sync()``
    calls; the lease outlives the first of them and goes back when the cursor
    is closed. The code that reads it uses the same connection meanwhile, as in
    Django: as many readers as the pool has connections could else wait for one more.
    """

    def __init__(self, cursor: Any, db: LoomDatabaseMixin) -> None:
        self._cursor = cursor
        cursor.has_turn = True
        self._db = db
        self._lease = db.lease_here()
        # What is not declared WITH HOLD ends with the transaction, if it is open now.
        self._scope = scopes.innermost(self._lease, db.alias, None if db.unit is not None else db)
        self._shared: scopes.Scope | None = None
        self.spare: SpareLease | None = None  # in a library's thread, until it runs
        self._is_open = False  # in the server
        self._held: Lease | None = None
        self._closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def __iter__(self) -> Iterator[Any]:
        rows = iter(self._cursor)
        while True:
            try:
                row = self._fetch(rows.__next__)
            except StopIteration:
                return
            yield row

    def __enter__(self) -> ServerSideCursor:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # A generator that never began to run closes nothing. Nothing waits here.
        if not self._closed:
            self._closed = True
            self._end(leave=True)

    def execute(self, *args: Any) -> Any:
        """Run the query, and keep the connection from then on."""
        # Before the statement: what else needs the connection may end meanwhile, and in a
        # library's thread a statement ends what nobody keeps.
        self._hold(self._cursor._lease_to_keep())
        try:
            result = self._cursor.execute(*args)
        except Exception:
            self._hold(None)
            raise
        except BaseException:
            if not self._cursor.was_begun:
                self._closed = True
                self._db.engine.close_unused(self._cursor.cursor)
                self._stop_keeping()
                raise
            self._opened()  # the server may have it open
            self.close()  # Django does so for an Exception only
            raise
        self._opened()
        return result

    def _hold(self, lease: Lease | None) -> None:
        """Keep the connection, instead of the one that was kept before."""
        if lease is self._held or not self._db.leased:
            return
        before, self._held = self._held, lease
        if lease is not None:
            lease.open_cursors += 1
            if lease.in_atomic_block:
                lease.cursors_in_block = lease.cursors_in_block or WeakSet()
                lease.cursors_in_block.add(self)
        if before is not None:
            before.open_cursors -= 1
            self._db.give_back_if_unneeded(before)

    def _opened(self) -> None:
        """Share the connection with whoever reads, until the cursor is closed."""
        self._lease = lease = self._cursor._lease
        self._hold(lease)
        if self._is_open or lease.state is not LeaseState.HELD:
            return
        self._is_open = True
        if self._db.leased:
            self._shared = scopes.share_cursor(self._db, lease)
        self._db.note_lease_site(lease)

    def fetchone(self) -> Any:
        """Fetch the next row from the server."""
        return self._fetch(self._cursor.fetchone)

    def fetchmany(self, *args: Any) -> Any:
        """Fetch the next rows from the server."""
        return self._fetch(self._cursor.fetchmany, *args)

    def fetchall(self) -> Any:
        """Fetch all rows that are left."""
        return self._fetch(self._cursor.fetchall)

    def _fetch(self, fetch: Callable[..., Any], *args: Any) -> Any:
        is_begun = False  # see LeasedCursorMixin._run()
        try:
            with scopes.turn(self._lease, self._db):
                is_begun = True
                return fetch(*args)
        except Exception:
            raise
        except BaseException:
            # Its reader leaves: what that does next has nothing to do with the cursor.
            if self._shared is not None:
                scopes.end_sharing(self._shared)
            if is_begun:
                self._db.interrupted(self._lease)
            raise

    def transaction_ends(self) -> None:
        """Keep nothing if the server has closed the cursor with the transaction.

        A generator that is half read lives on, perhaps in a cycle, until the collector comes
        by → as many as the pool has connections would keep all of them.
        """
        lease = self._lease
        if self._closed or lease.state is not LeaseState.HELD or not self._is_open:
            return
        if lease.engine.ends_with_transaction(self._cursor.cursor):
            self._closed = True
            try:
                self._cursor.close()  # which the driver tells nobody
            finally:
                self._stop_keeping()

    def close(self) -> None:
        """Close the cursor; give the connection back if nobody else needs it."""
        if not self._closed:
            self._closed = True
            self._end(leave=not self._db.can_wait(self._lease))

    def _end(self, *, leave: bool) -> None:
        lease, db = self._lease, self._db
        is_begun = False
        try:
            if lease.state is LeaseState.ENDED:
                self._cursor.close()  # its connection is closed already, so nothing waits
            elif not self._is_open:
                return
            elif (leave and db.engine.closing_a_cursor_waits) or self._is_gone():
                self._leave()
            else:
                with scopes.turn(lease, db):
                    is_begun = True
                    self._cursor.close()
        except BaseException as error:
            if not isinstance(error, Exception):
                if is_begun:
                    db.interrupted(lease)
                lease.left_cursors.append(self._cursor)  # it may still be open in the server
                if lease.state is LeaseState.ENDED:
                    lease.close_left_cursors()
            raise
        finally:
            self._stop_keeping()

    def _is_gone(self) -> bool:
        """Tell if the block in which it was declared has ended, and perhaps it with that.

        A test keeps an iterator that it has half read → its block is rolled back, and the
        cursor with it → to close that in the next one's would fail, and abort it.
        """
        scope = self._scope
        if scope is None or scope.kind is not scopes.Kind.BLOCK or scope.active:
            return False
        return not self._db.leased or self._lease.in_atomic_block

    def _stop_keeping(self) -> None:
        if self._shared is not None:
            scopes.end_sharing(self._shared)
        self._hold(None)
        self.spare = None

    def _leave(self) -> None:
        """Close where nothing can be awaited.

        The garbage collector closes the generator of an ``aiterator()`` that was
        left half-way, in no call of ours. The connection goes, and the server's
        cursor with it: now, or when the transaction has ended.
        """
        self._lease.left_cursors.append(self._cursor)
