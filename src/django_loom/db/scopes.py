"""Which transaction a piece of code is in, and whose turn it is there.

An ``atomic`` block opens a scope. The scope is known to the context (tasks and
threads that copy the context, as ``create_task()`` and ``sync_to_async()`` do,
are in the transaction too) and to the connection (code on a loop is in the
transaction of the thread that runs the loop, as in a ``TestCase``).

One connection serves them all, so each scope has a mutex. A statement takes the
mutex of the innermost scope it is in; a nested block takes that of the scope
around it until it ends. So tasks in one transaction take turns, statement by
statement, while nobody gets between the statements of a nested block, whose
savepoint would otherwise swallow or undo what a sibling does.
"""

from __future__ import annotations

from asyncio import _get_running_loop
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from threading import get_ident
from typing import TYPE_CHECKING

from django_loom.bridge import Lock, current_call
from django_loom.exceptions import TransactionBusy

if TYPE_CHECKING:
    from .wrapper import LoomDatabaseMixin

_scopes: ContextVar[Mapping[str, Scope] | None] = ContextVar("loom_scopes", default=None)


class Scope:
    """An ``atomic`` block that is open; ``parent`` is the block around it."""

    __slots__ = ("active", "connection", "mutex", "parent", "thread")

    def __init__(self, connection: LoomDatabaseMixin, parent: Scope | None) -> None:
        self.connection = connection
        self.parent = parent
        self.mutex = Lock()
        self.active = True
        # The thread whose plain code opened it, or None for code on a loop.
        self.thread = get_ident() if current_call() is None else None

    def is_within(self, other: Scope) -> bool:
        """Tell if this scope is the other one or inside it."""
        scope: Scope | None = self
        while scope is not None and scope is not other:
            scope = scope.parent
        return scope is not None


def find(alias: str, threads_own: LoomDatabaseMixin | None) -> Scope | None:
    """Return the innermost open scope that the calling code is in.

    :param threads_own: the connection of the calling thread itself, if it has one.
    """
    known = _scopes.get()
    scope = None if known is None else _first_active(known.get(alias))
    # Another ENGINE's connection has none. An AttributeError here would make Django
    # open a new connection at each use.
    if threads_own is not None and getattr(threads_own, "scopes", None):
        around = _opened_by_thread(threads_own)
        # A context made earlier, such as that of asyncio.Runner, may know none
        # of the blocks that the thread has entered since, or only the outer ones.
        if around is not None and (scope is None or not scope.is_within(around)):
            return around
    return scope


@contextmanager
def inside(scope: Scope | None) -> Iterator[None]:
    """Run a block in a scope that the calling context may not know.

    ``async with`` may be left in another task than it was entered in: by a test
    tool's fixture, or by the loop that closes a generator.
    """
    before = _scopes.get()
    known = None if scope is None else find(scope.connection.alias, None)
    if scope is None or (known is not None and known.is_within(scope)):
        yield
        return
    _set(scope.connection.alias, scope)
    try:
        yield
    finally:
        _scopes.set(before)


def _first_active(scope: Scope | None) -> Scope | None:
    while scope is not None and not scope.active:
        scope = scope.parent
    return scope


def _opened_by_thread(connection: LoomDatabaseMixin) -> Scope | None:
    """Return the innermost scope that the thread itself opened, below any loop."""
    if current_call() is None and _get_running_loop() is None:
        return None  # plain synchronous code uses its own connection anyway
    this_thread = get_ident()
    return next((s for s in reversed(connection.scopes) if s.thread == this_thread), None)


def is_member(connection: LoomDatabaseMixin) -> bool:
    """Tell if the calling code is in a block that is open on the connection."""
    scope = find(connection.alias, None if connection.shared else connection)
    return scope is not None and scope.connection is connection


def _innermost(connection: LoomDatabaseMixin) -> Scope | None:
    scope = find(connection.alias, connection)
    if scope is not None and scope.connection is connection:
        return scope
    # Code that holds the connection object, but whose context does not know it.
    return connection.scopes[-1] if connection.scopes else None


@contextmanager
def turn(connection: LoomDatabaseMixin) -> Iterator[None]:
    """Run one statement of a transaction while nobody else uses its connection."""
    scope = _take_turn(connection)
    try:
        yield
    finally:
        if scope is not None:
            scope.mutex.release()


def _take_turn(connection: LoomDatabaseMixin) -> Scope | None:
    """Take the mutex of the innermost scope, and return the scope."""
    while (scope := _innermost(connection)) is not None:
        if not scope.mutex.acquire(connection.lease_timeout):
            raise TransactionBusy(
                f"Another task has used the transaction's connection to database "
                f"{connection.alias!r} for more than {connection.lease_timeout:g} s "
                "(OPTIONS['pool']['timeout']). A task that belongs to an outer atomic "
                "block waits while a block inside it is open: do not await such a "
                "task in the inner block, or start it there."
            )
        if scope.active:
            return scope
        scope.mutex.release()  # it ended while we waited: the turn is in its parent
    return None


def open_scope(connection: LoomDatabaseMixin) -> Scope:
    """Begin a block: wait for the turn in the one around it, and keep that."""
    scope = Scope(connection, _take_turn(connection))
    connection.scopes.append(scope)
    _set(connection.alias, scope)
    return scope


def begin_close(connection: LoomDatabaseMixin) -> Scope:
    """Begin the end of the innermost block: wait for those who still use it.

    The statements that end a block (COMMIT, RELEASE) run in a scope of their own,
    which nobody else knows, so none can slip in between or after them.
    """
    last = Scope(connection, _take_turn(connection))
    connection.scopes.append(last)
    _set(connection.alias, last)
    return last


def end_close(last: Scope) -> None:
    """End the block that ``begin_close()`` began to end. A second call does nothing."""
    ended = last.parent
    if not last.active or ended is None:
        return
    last.active = False
    close_scope(ended)
    last.connection.scopes.remove(last)
    ended.mutex.release()  # who waits there finds it ended, and goes to its parent


def forget_innermost(connection: LoomDatabaseMixin) -> None:
    """End the innermost block although somebody still has the turn in it."""
    scope = _innermost(connection)
    if scope is not None:
        close_scope(scope)


def close_scope(scope: Scope) -> None:
    """Forget a block; hand the turn in the one around it to the next."""
    scope.active = False
    connection, parent = scope.connection, scope.parent
    connection.scopes.remove(scope)
    _set(connection.alias, parent)
    if parent is not None:
        parent.mutex.release()


def _set(alias: str, scope: Scope | None) -> None:
    known = dict(_scopes.get() or ())
    if scope is None:
        known.pop(alias, None)
    else:
        known[alias] = scope
    _scopes.set(known or None)
