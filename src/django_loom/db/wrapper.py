"""The mixin that makes a database backend's ``DatabaseWrapper`` one of ours."""

from __future__ import annotations

import os
from asyncio import _get_running_loop
from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.core.exceptions import SynchronousOnlyOperation

from django_loom.conf import require_app

from . import scopes
from .cursors import LeasedCursor, LeasedDebugCursor, PinnedCursor
from .leases import LeasingMixin
from .query_capture import QueryCaptureMixin


def refuse_in_coroutine(what: str) -> None:
    """Raise if the caller is a coroutine, which would block its loop.

    :raises SynchronousOnlyOperation: saying what to write instead.
    """
    if _get_running_loop() is None or os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
        return
    raise SynchronousOnlyOperation(
        f"You cannot {what} straight from a coroutine: it would block the event loop. "
        "Use the method that starts with an 'a' (await Book.objects.aget(...), "
        "await book.asave()), or run the synchronous code with "
        "await django_loom.run_sync(function, ...). For a transaction write "
        "async with django_loom.atomic()."
    )


def _awaited(func: Callable[[], Any]) -> Callable[[], Any]:
    # A function, for Django's message about one that fails names it.
    @wraps(func)
    def callback() -> Any:
        return async_to_sync(func)()

    return callback


class LoomDatabaseMixin(QueryCaptureMixin, LeasingMixin):
    """Put before a ``DatabaseWrapper`` class; adds leases of pooled connections.

    A wrapper is what Django calls a connection. Here it may be without one: it
    acquires a pool's slot when it is first used, and gives it back when its code
    awaits something other than the database, or ends. It keeps the slot while a
    transaction or a server-side cursor is open.

    In plain synchronous code without ``OPTIONS["pool"]`` nothing of this happens.
    """

    cursor_class: ClassVar[type] = LeasedCursor
    debug_cursor_class: ClassVar[type] = LeasedDebugCursor

    def connect(self) -> None:
        """Get a connection: from the pool on a loop or if it is set, else a new one."""
        if not self.managed:
            require_app(f"The ENGINE of DATABASES[{self.alias!r}]")
        refuse_in_coroutine("connect to the database")
        super().connect()

    def cursor(self) -> Any:
        """Make a cursor, leasing a connection if need be."""
        refuse_in_coroutine("use the database")
        return self._cursor()

    def chunked_cursor(self) -> Any:
        """Make a cursor that may stay open on the server, and so keeps its lease."""
        refuse_in_coroutine("use the database")
        cursor = super().chunked_cursor()
        return cursor if self.slot is None else PinnedCursor(cursor, self)

    def ensure_connection(self) -> None:
        """Have a connection; in a coroutine do nothing, the query will lease one."""
        if self.connection is not None:
            return
        if _get_running_loop() is not None and not os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
            return
        self._check_owner()
        super().ensure_connection()  # which Django's test cases replace, as a guard

    def _cursor(self, name: str | None = None) -> Any:
        if self.shared:
            self._check_owner()
        return super()._cursor(name)

    def get_autocommit(self) -> bool:
        """Tell if the connection is in autocommit mode."""
        refuse_in_coroutine("use a transaction")
        return bool(super().get_autocommit())

    def set_autocommit(self, *args: Any, **kwargs: Any) -> None:
        """Begin or end autocommit mode; see Django's ``BaseDatabaseWrapper``."""
        refuse_in_coroutine("use a transaction")
        super().set_autocommit(*args, **kwargs)

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

    def validate_thread_sharing(self) -> None:
        """Allow, beside what Django allows, whoever is in the open transaction."""
        if self.scopes and scopes.is_member(self):
            return
        super().validate_thread_sharing()

    def make_cursor(self, cursor: Any) -> Any:
        """Wrap a driver's cursor."""
        return self.cursor_class(cursor, self)

    def make_debug_cursor(self, cursor: Any) -> Any:
        """Wrap a driver's cursor so that its queries are logged."""
        return self.debug_cursor_class(cursor, self)

    def on_commit(self, func: Callable[[], Any], robust: bool = False) -> None:
        """Register a callback for the commit; it may be a coroutine function.

        :raises SynchronousOnlyOperation: a coroutine function, from async code
            outside a transaction, where it would have to be awaited at once.
        """
        if _get_running_loop() is not None and not self.in_atomic_block:
            if iscoroutinefunction(func):
                raise SynchronousOnlyOperation(
                    "transaction.on_commit() was given a coroutine function outside a "
                    "transaction, where it runs at once. Write `await callback()`."
                )
            func()
            return
        super().on_commit(_awaited(func) if iscoroutinefunction(func) else func, robust)

    def run_and_clear_commit_hooks(self) -> None:
        """Run the callbacks, which are outside the transaction already."""
        if self.scopes:
            scopes.end_close(self.scopes[-1])
        if self.shared and self.owner is None:
            # The callbacks lease connections of their own. If the transaction's were
            # held meanwhile, as many as the pool has could wait for one more.
            self.give_back_if_idle()
        super().run_and_clear_commit_hooks()
