"""Scopes that are no blocks: of a pinned connection, and of a server-side cursor that is read."""

from __future__ import annotations

from typing import Any

from .lease import Lease
from .scopes import Kind, Scope, find, first_active, put_in_context, scopes_variable


def pin(wrapper: Any, lease: Lease) -> Scope:
    """Return the scope of all code of a unit, in which it shares a connection.

    A transaction is open on it already, whose block has nothing around → code beside it
    would get in between its statements → the block has the turn in the pin from now on.
    """
    scope = Scope(Kind.PIN, wrapper, lease, None)
    outermost = lease.scopes[0] if lease.scopes else None
    if outermost is not None and outermost.parent is None:
        scope.mutex.acquire_nowait()
        outermost.parent = scope
    return scope


def share_cursor(wrapper: Any, lease: Lease) -> Scope | None:
    """Let the code that reads a server-side cursor use its connection; None if it does."""
    around = find(wrapper.alias, None)
    if around is not None and around.kind is not Kind.CURSOR:
        return None  # it uses that one in any case
    scope = Scope(Kind.CURSOR, wrapper, lease, around)
    put_in_context(wrapper.alias, scope)
    return scope


def end_sharing(scope: Scope) -> None:
    """End what ``share_cursor()`` began, for every context that knows it."""
    scope.active = False
    known = scopes_variable.get()
    if known is not None and known.get(scope.wrapper.alias) is scope:
        put_in_context(scope.wrapper.alias, first_active(scope.parent))
