"""Cursors that know on which connection they were made."""

from __future__ import annotations

from asyncio import _get_running_loop
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError
from django.db.backends.utils import CursorDebugWrapper, CursorWrapper

from django_loom.bridge import current_call

from . import scopes

if TYPE_CHECKING:
    from .wrapper import LoomDatabaseMixin


class LeasedCursorMixin:
    """Runs each statement on the connection that its code holds at that moment.

    Between two statements of one cursor the code may have awaited something else
    and so given its connection back: another task may have a transaction open on
    it by now. The cursor then moves to the connection that the code gets next.
    """

    cursor: Any
    db: LoomDatabaseMixin

    def __init__(self, cursor: Any, db: LoomDatabaseMixin) -> None:
        super().__init__(cursor, db)  # type: ignore[call-arg]
        self._slot = db.slot
        self._generation = db.generation

    def _execute(self, *args: Any) -> Any:
        return self._run(super()._execute, args)  # type: ignore[misc]

    def _executemany(self, *args: Any) -> Any:
        return self._run(super()._executemany, args)  # type: ignore[misc]

    def callproc(self, *args: Any) -> Any:
        """Call a stored procedure; see Django's ``CursorWrapper``."""
        return self._run(super().callproc, args)  # type: ignore[misc]

    def _run(self, execute: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        db = self.db
        try:
            if db.scopes:
                with scopes.turn(db):
                    # Not before: the one who had the turn may have ended the
                    # transaction, and the connection serve somebody else by now.
                    self._follow()
                    return execute(*args)
            self._follow()
            return execute(*args)
        except Exception:
            raise
        except BaseException:
            self._interrupted()
            raise

    def _interrupted(self) -> None:
        # Its wrapper may serve somebody else by now, if another task ended the block.
        if self._generation == self.db.generation and self._slot is self.db.slot:
            self.db.interrupted()

    def _follow(self) -> None:
        if self._slot is not self.db.slot or self._generation != self.db.generation:
            self._move()

    def _move(self) -> None:
        db = self.db
        if self._generation != db.generation:
            raise DatabaseError(
                "This cursor was made in a run_sync() call that has ended, and its "
                "connection serves other code now. Make a new cursor."
            )
        db.ensure_connection()
        self.cursor = db.create_cursor()
        self._slot = db.slot


class LeasedCursor(LeasedCursorMixin, CursorWrapper):
    """Django's cursor wrapper, following its lease."""


class LeasedDebugCursor(LeasedCursorMixin, CursorDebugWrapper):
    """Django's cursor wrapper that logs queries, following its lease."""


class FetchingCursorMixin(LeasedCursorMixin):
    """For drivers whose fetches wait as well, and may leave a transaction half done.

    SQLite rolls a whole transaction back by itself if one of its statements is
    interrupted while its rows are fetched, as those of INSERT ... RETURNING.
    """

    def __getattr__(self, name: str) -> Any:
        value = super().__getattr__(name)  # type: ignore[misc]
        return self._noting(value) if name in CursorWrapper.WRAP_ERROR_ATTRS else value

    def _noting(self, fetch: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return fetch(*args, **kwargs)
            except Exception:
                raise
            except BaseException:
                self._interrupted()
                raise

        return call


class FetchingCursor(FetchingCursorMixin, CursorWrapper):
    """Django's cursor wrapper, following its lease."""


class FetchingDebugCursor(FetchingCursorMixin, CursorDebugWrapper):
    """Django's cursor wrapper that logs queries, following its lease."""


class PinnedCursor:
    """A cursor whose rows still come from the server, so it keeps its connection.

    ``aiterator()`` runs the slices of one generator in separate ``run_sync()``
    calls; the connection outlives the first of them and goes back when the cursor
    is closed.
    """

    def __init__(self, cursor: Any, db: LoomDatabaseMixin) -> None:
        self._cursor = cursor
        self._db = db
        self._generation = db.generation
        self._pinned = False
        self._closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)

    def __enter__(self) -> PinnedCursor:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()  # a generator that never began to run does not

    def execute(self, *args: Any) -> Any:
        """Run the query, and keep the connection from then on."""
        try:
            result = self._cursor.execute(*args)
        except Exception:
            raise
        except BaseException:
            self.close()  # Django does so for an Exception only
            raise
        if not self._pinned:
            self._pinned = True
            self._db.pinned_cursors += 1
            self._db.note_lease_site()
        return result

    def fetchmany(self, *args: Any) -> Any:
        """Fetch the next rows from the server."""
        try:
            return self._cursor.fetchmany(*args)
        except Exception:
            raise
        except BaseException:
            self._db.interrupted()
            raise

    def close(self) -> None:
        """Close the cursor; give the connection back if nobody else holds it."""
        if self._closed:
            return
        self._closed = True
        db = self._db
        if self._generation != db.generation:
            return  # it was never executed, and its wrapper serves somebody else
        if self._pinned:
            db.pinned_cursors -= 1
        try:
            if self._can_wait():
                self._cursor.close()
            else:
                self._leave()
        except BaseException as error:
            if not isinstance(error, Exception):
                db.interrupted()
                db.left_cursors.append(self._cursor)  # it may still be open in the server
            raise
        finally:
            db.give_back_if_unowned()

    def _can_wait(self) -> bool:
        if not self._db.closing_a_cursor_waits:
            return True
        call = current_call()
        if call is not None:
            return not call.closing
        return _get_running_loop() is None and not self._db.used_on_loop

    def _leave(self) -> None:
        """Close where nothing can be awaited.

        The garbage collector closes the generator of an ``aiterator()`` that was
        left half-way, in no call of ours. The connection goes, and the server's
        cursor with it: now, or when the transaction has ended.
        """
        if self._db.in_atomic_block or self._db.scopes:  # the latter while it commits
            self._db.left_cursors.append(self._cursor)
        else:
            self._db.drop_slot()
            self._cursor.close()
