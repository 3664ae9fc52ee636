"""Cursors of the server's, which keep their connection until they are closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from . import scopes, sharing, turns
from .lease import Lease, LeaseState

if TYPE_CHECKING:
    from .library_threads import SpareLease
    from .wrapper import LoomDatabaseMixin


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
            self._shared = sharing.share_cursor(self._db, lease)
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
            with turns.turn(self._lease, self._db):
                is_begun = True
                return fetch(*args)
        except Exception:
            raise
        except BaseException:
            # Its reader leaves: what that does next has nothing to do with the cursor.
            if self._shared is not None:
                sharing.end_sharing(self._shared)
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
                with turns.turn(lease, db):
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
            sharing.end_sharing(self._shared)
        self._hold(None)
        self.spare = None

    def _leave(self) -> None:
        """Close where nothing can be awaited.

        The garbage collector closes the generator of an ``aiterator()`` that was
        left half-way, in no call of ours. The connection goes, and the server's
        cursor with it: now, or when the transaction has ended.
        """
        self._lease.left_cursors.append(self._cursor)
