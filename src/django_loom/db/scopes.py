"""Who shares a connection: the scopes that code is in.

An ``atomic`` block opens a scope (`blocks.py`). It is known to the context (tasks and
threads that copy the context, as ``create_task()`` and ``sync_to_async()`` do,
are in the transaction too) and to the lease (code on a loop is in the
transaction of the thread that runs the loop, as in a ``TestCase``). A server-side
cursor opens one as well, so that the code which reads it shares its connection; and
so does a pin, which all code of a unit is in (`sharing.py`). Those who share it take turns
(`turns.py`).
"""

from __future__ import annotations

import enum
from asyncio import _get_running_loop
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from threading import get_ident
from types import FrameType
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent

from django_loom.bridge import (
    Lock,
    SyncCall,
    Unit,
    context_value,
    context_variable,
    current_call,
    current_unit,
)

from .lease import Lease

if TYPE_CHECKING:
    from .flows import FlowEnd
    from .holders import CallSite

scopes_variable: ContextVar[Mapping[str, Scope] | None] = context_variable("loom_scopes", None)
"""The scopes that a context knows, by alias; None if it knows of none at all."""
scopes_in_context = scopes_variable.get

opened_by_threads: set[int] = set()
"""The identities of the open blocks of plain code. Mostly there is none: a short way to know."""


class Kind(enum.Enum):
    """What a scope is open for."""

    BLOCK = "an atomic block"
    CLOSING = "the end of an atomic block"
    CURSOR = "a server-side cursor"
    PIN = "a session that belongs to its unit"


class Scope:
    """A piece of code that keeps a connection; ``parent`` is the one around it."""

    __slots__ = (
        "abandoned",
        "active",
        "entered",
        "flow_end",
        "generator",
        "in_generator",
        "kind",
        "lease",
        "mutex",
        "open_on",
        "opener",
        "parent",
        "rolled_back_in",
        "site",
        "thread",
        "unit",
        "wrapper",
        "writers",
    )

    def __init__(self, kind: Kind, wrapper: Any, lease: Lease, parent: Scope | None) -> None:
        self.kind = kind
        self.wrapper = wrapper
        self.lease = lease
        self.parent = parent
        # Cursors and pins are no blocks: who is in one of them is beside the others' code.
        is_block = kind in (Kind.BLOCK, Kind.CLOSING)
        self.mutex = Lock() if is_block else lease.turn
        self.active = True
        # While it is an open block of a unit's connection object: that. Code whose context
        # names such a block uses its lease, which needs no search.
        self.open_on = wrapper if is_block and wrapper.unit is not None else None
        # The thread whose plain code opened it, or None for code on a loop.
        self.thread = get_ident() if current_call() is None else None
        self.unit: Unit | None = current_unit()
        # The open scopes of Django's block, and None for each that was abandoned.
        self.entered: list[Scope | None] | None = None
        # The frame of the generator in which Django's block was entered, if it was in one.
        self.generator: FrameType | None = None
        self.opener: object = None  # the AsyncAtomic, if one has opened it
        self.in_generator = False  # opened by an async generator, which may be left
        # Of a block whose flow has not taken the connection: who ends that may be another.
        self.flow_end: FlowEnd | None = None
        self.site: CallSite | None = None
        self.abandoned = False  # its code has never left it
        # The thread whose code has ended it without a commit; 0 if that was the collector.
        self.rolled_back_in: int | None = None
        self.writers: Lock | None = None  # held until it ends, where writers take turns

    def is_within(self, other: Scope) -> bool:
        """Tell if this scope is the other one or inside it."""
        scope: Scope | None = self
        while scope is not None and scope is not other:
            scope = scope.parent
        return scope is not None


def find(alias: str, threads_own: Any = None) -> Scope | None:
    """Return the innermost open scope that the calling code is in.

    :param threads_own: the connection object of the calling thread itself, if it has one.
    """
    known = scopes_variable.get()
    if known is None and type(getcurrent()) is not SyncCall:
        known = context_value(scopes_variable)
    scope = None if known is None else first_active(known.get(alias))
    if scope is not None and scope.kind is Kind.CURSOR:
        scope = _readable(scope)
    # Another ENGINE's connection has none. An AttributeError here would make Django
    # open a new connection at each use.
    if threads_own is not None and opened_by_threads and getattr(threads_own, "scopes", None):
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
    if scope is None:
        yield
        return
    alias = scope.wrapper.alias
    before = (scopes_variable.get() or {}).get(alias)
    put_in_context(alias, scope)
    try:
        yield
    finally:
        # Another task of this context may have entered a block of another database meanwhile.
        # And a context that kept what has ended would look for more at each query.
        put_in_context(alias, first_active(before))


def first_active(scope: Scope | None) -> Scope | None:
    """Return the scope if it is open, else the next one around it that is."""
    while scope is not None and not scope.active:
        scope = scope.parent
    return scope


def _readable(scope: Scope | None) -> Scope | None:
    """Pass over cursors that other units read.

    Code reads a cursor half-way and begins a unit, such as a request → this would have the
    reader's connection object until the cursor is closed, and another from then on, without
    what it has put on the first → it has its own from the beginning. So has a function in a
    thread without a unit: what it leaves in the session, or in a block, is the thread's, and
    would end with the cursor, whose unit has ended long ago.
    """
    unit = current_unit()
    is_threads = unit is None and current_call() is None and _get_running_loop() is None
    if not is_threads and (unit is None or unit.is_part):
        return scope
    while scope is not None and scope.kind is Kind.CURSOR and scope.unit is not unit:
        scope = first_active(scope.parent)
    return scope


def _opened_by_thread(wrapper: Any) -> Scope | None:
    """Return the innermost scope that the thread itself opened, below any loop."""
    if current_call() is None and _get_running_loop() is None:
        return None  # plain synchronous code uses its own connection anyway
    this_thread = get_ident()
    return next((s for s in reversed(wrapper.scopes) if s.thread == this_thread), None)


def is_member(wrapper: Any, threads_own: Any = None) -> bool:
    """Tell if the calling code is in a scope that is open on the connection object."""
    scope = find(wrapper.alias, threads_own)
    return scope is not None and scope.wrapper is wrapper


def innermost(lease: Lease, alias: str, threads_own: Any = None) -> Scope | None:
    """Return the scope in which the calling code uses a lease, if there is one."""
    scope = find(alias, threads_own)
    if scope is not None and scope.lease is lease:
        return scope
    if lease.pin is not None:
        return lease.pin
    # Code that has the connection object, but whose context does not know the scope.
    blocks = (each for each in reversed(lease.scopes) if each.kind is not Kind.CLOSING)
    return first_active(next(blocks, None))


def put_in_context(alias: str, scope: Scope | None) -> None:
    """Let the calling context know a scope as its innermost one, or none."""
    known = dict(scopes_variable.get() or ())
    if scope is None:
        known.pop(alias, None)
    else:
        known[alias] = scope
    scopes_variable.set(known or None)
