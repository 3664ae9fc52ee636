"""Opening and ending the scopes of ``atomic`` blocks."""

from __future__ import annotations

from collections.abc import Sequence
from threading import get_ident
from types import FrameType
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from django_loom.bridge import is_collecting

from .lease import Lease
from .scopes import (
    Kind,
    Scope,
    find,
    innermost,
    opened_by_threads,
    put_in_context,
    scopes_variable,
)
from .turns import take_turn


def open_scope(wrapper: Any, lease: Lease) -> Scope:
    """Begin a block: wait for the turn in the scope around it, and keep that."""
    return _opened(Scope(Kind.BLOCK, wrapper, lease, take_turn(lease, wrapper)))


def begin_close(wrapper: Any, lease: Lease) -> Scope:
    """Begin the end of the innermost block: wait for those who still use it.

    The statements that end a block (COMMIT, RELEASE) run in a scope of their own,
    which nobody else knows, so none can slip in between or after them.
    """
    around = take_turn(lease, wrapper, to_close=True)
    return _opened(Scope(Kind.CLOSING, wrapper, lease, around))


def _opened(scope: Scope) -> Scope:
    scope.lease.scopes.append(scope)
    if scope.thread is not None:
        opened_by_threads.add(id(scope))
    put_in_context(scope.wrapper.alias, scope)
    return scope


def end_close(last: Scope, *, is_committed: bool) -> None:
    """End the block that ``begin_close()`` began to end. A second call does nothing.

    :param is_committed: nothing of it was rolled back, so far.
    """
    ended = last.parent
    if not last.active or ended is None:
        return
    last.active, last.open_on = False, None
    opened_by_threads.discard(id(last))
    last.lease.scopes.remove(last)
    close_scope(ended, is_committed=is_committed)
    ended.mutex.release()  # who waits there finds it ended, and goes to its parent


def note_block(scope: Scope, block: Any, generator: FrameType | None) -> None:
    """Note the ``Atomic`` that a scope is open for, until it ends.

    :param generator: the frame in which it was entered, if that is a generator's.
    """
    scope.generator = generator
    scope.entered = vars(block).setdefault("_loom_scopes", [])
    scope.entered.append(scope)


def of_block(block: Any, generator: FrameType | None) -> Scope | None:
    """Return the scope of an ``Atomic``; None if it has several, and nothing tells them apart.

    A decorator's object has several, or one that generators share. A generator is freed in
    the midst of other code, which has another block by the same object → the connection of
    that code would be rolled back → a generator's block is that which was entered in its frame.

    :param generator: the frame in which it is left, if that is a generator's.
    """
    entered = vars(block).get("_loom_scopes", ())
    if generator is not None:
        for scope in reversed(entered):
            if scope is not None and scope.generator is generator:
                return scope  # type: ignore[no-any-return]
    if len(entered) == 1:
        return entered[0]  # type: ignore[no-any-return]
    return _of_other_code(block, entered) if is_collecting() else None


def _of_other_code(block: Any, entered: Sequence[Scope | None]) -> Scope | None:
    """Return the last of an object's scopes that the running code is not in."""
    here = find(block.using or DEFAULT_DB_ALIAS)
    for scope in reversed(entered):
        if scope is not None and (here is None or not here.is_within(scope)):
            return scope
    return None


def forget_innermost(wrapper: Any, lease: Lease) -> None:
    """End the innermost block although somebody still has the turn in it."""
    scope = innermost(lease, wrapper.alias, None if wrapper.unit is not None else wrapper)
    if scope is not None and scope.kind is Kind.BLOCK:
        close_scope(scope)


def close_scope(scope: Scope, *, is_committed: bool = False) -> None:
    """Forget a block; hand the turn in the one around it to the next."""
    put_in_context(scope.wrapper.alias, scope.parent)
    _end(scope, is_committed=is_committed)


def abandon(lease: Lease) -> None:
    """End the blocks that nobody will leave; who waits for a turn in one goes on without it."""
    while lease.scopes:
        scope = lease.scopes[-1]
        if scope.entered is not None:
            scope.entered.append(None)
        scope.abandoned = True
        _end(scope)


def leave_abandoned(block: Any, generator: FrameType | None) -> bool:
    """Leave a block if it was abandoned, and so has nothing to end; tell if it was.

    Its generator lives on in a cycle, and is freed in the midst of another's block → that
    would end in its place → what was abandoned is the block's own to know.

    :param generator: the frame in which it is left, if that is a generator's.
    """
    entered = vars(block).get("_loom_scopes", ())
    if None not in entered:
        return False
    if generator is not None and any(each and each.generator is generator for each in entered):
        return False
    alias = block.using or DEFAULT_DB_ALIAS
    # One object may be in use more than once, as that of a decorator is.
    scope = None if is_collecting() else find(alias)
    while scope is not None:
        if scope in entered:
            return False
        scope = scope.parent
    entered.remove(None)
    scope = (scopes_variable.get() or {}).get(alias)
    if scope is not None and scope.abandoned:
        put_in_context(alias, scope.parent)
    return True


def _end(scope: Scope, *, is_committed: bool = False) -> None:
    lease = scope.lease
    if not is_committed:
        # First: a thread that finds the block ended is to know how.
        scope.rolled_back_in = 0 if is_collecting() else get_ident()
    if lease.of_thread is not None and len(lease.scopes) == 1:
        scope.wrapper.block_ends(lease)
    # The thread that has the lease finds the block open, and waits for its turn, or none.
    lease.scopes.remove(scope)
    scope.active, scope.open_on = False, None
    opened_by_threads.discard(id(scope))
    if scope.entered is not None:
        scope.entered.remove(scope)
        scope.entered = scope.generator = None
    if scope.parent is not None:
        if scope.parent.kind is Kind.PIN:
            scope.wrapper.block_is_over(scope.lease)
        scope.parent.mutex.release()
    if scope.writers is not None:
        writers, scope.writers = scope.writers, None
        writers.release()
