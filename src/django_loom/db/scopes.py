"""Who shares a connection, and whose turn it is on it.

An ``atomic`` block opens a scope. The scope is known to the context (tasks and
threads that copy the context, as ``create_task()`` and ``sync_to_async()`` do,
are in the transaction too) and to the lease (code on a loop is in the
transaction of the thread that runs the loop, as in a ``TestCase``). A server-side
cursor opens one as well, so that the code which reads it shares its connection; and
so does a pin, which all code of a unit is in.

One connection serves them all, so each scope has a mutex. A statement takes the
mutex of the innermost scope it is in; a nested block takes that of the scope
around it until it ends. So tasks in one transaction take turns, statement by
statement, while nobody gets between the statements of a nested block, whose
savepoint would otherwise swallow or undo what a sibling does.
"""

from __future__ import annotations

import asyncio
import enum
from asyncio import _get_running_loop
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from threading import get_ident
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS
from greenlet import getcurrent

from django_loom.bridge import (
    Lock,
    SyncCall,
    Unit,
    context_value,
    current_call,
    current_unit,
    is_collecting,
    suspend,
)
from django_loom.exceptions import TransactionBusy

from .lease import Lease

if TYPE_CHECKING:
    from .flows import FlowEnd
    from .holders import CallSite

scopes_variable: ContextVar[Mapping[str, Scope] | None] = ContextVar("loom_scopes", default=None)
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
        "in_generator",
        "kind",
        "lease",
        "mutex",
        "open_on",
        "opener",
        "parent",
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
        self.opener: object = None  # the AsyncAtomic, if one has opened it
        self.in_generator = False  # opened by an async generator, which may be left
        # Of a block whose flow has not taken the connection: who ends that may be another.
        self.flow_end: FlowEnd | None = None
        self.site: CallSite | None = None
        self.abandoned = False  # its code has never left it
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
    scope = None if known is None else _first_active(known.get(alias))
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
    _set(alias, scope)
    try:
        yield
    finally:
        # Another task of this context may have entered a block of another database meanwhile.
        # And a context that kept what has ended would look for more at each query.
        _set(alias, _first_active(before))


def _first_active(scope: Scope | None) -> Scope | None:
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
        scope = _first_active(scope.parent)
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
    return _first_active(next(blocks, None))


@contextmanager
def turn(lease: Lease, wrapper: Any) -> Iterator[None]:
    """Run one statement while nobody else uses its connection."""
    scope = take_turn(lease, wrapper)
    try:
        yield
    finally:
        if scope is not None:
            scope.mutex.release()
            # Whatever else needed it may have ended meanwhile.
            wrapper.give_back_if_unneeded(scope.lease)


def take_turn(lease: Lease, wrapper: Any, *, to_close: bool = False) -> Scope | None:
    """Take the mutex of the innermost scope, and return the scope."""
    threads_own = None if wrapper.unit is not None else wrapper
    looked_for_the_left = to_close
    while (scope := innermost(lease, wrapper.alias, threads_own)) is not None:
        if scope.in_generator and not looked_for_the_left:
            looked_for_the_left = True
            _let_left_generators_end()
            continue
        if to_close:
            scope = _innermost_left(scope)
        try:
            is_ours = scope.mutex.acquire(wrapper.lease_timeout)
        except BaseException:
            # Cancelled when the turn had just been handed over: who gave it up believed that
            # we need the connection.
            wrapper.give_back_if_unneeded(scope.lease)
            raise
        if not is_ours:
            raise TransactionBusy(
                f"Another task has used the transaction's connection to database "
                f"{wrapper.alias!r} for more than {wrapper.lease_timeout:g} s "
                "(OPTIONS['pool']['timeout']). A task that belongs to an outer atomic "
                "block waits while a block inside it is open: do not await such a "
                "task in the inner block, or start it there."
            )
        if scope.active:
            return scope
        scope.mutex.release()  # it ended while we waited: the turn is in its parent
        wrapper.give_back_if_unneeded(scope.lease)
    return None


def _innermost_left(scope: Scope) -> Scope:
    """Return the innermost block in a scope that its code has left open; the scope if none.

    Code enters a block by hand, and its flow ends → nobody gives back the turn in the block
    around, which could not end → that one ends as in the flow itself, where Django takes its
    end for that of the innermost.
    """
    for inner in scope.lease.scopes:
        end = inner.flow_end
        if inner.parent is scope and inner.opener is None and end is not None and end.ended:
            scope = inner
    return scope


def wait_to_write(wrapper: Any, writers: Lock) -> None:
    """Wait for the turn to write, where a database has one writer at a time."""
    if not writers.acquire(wrapper.lease_timeout):
        raise TransactionBusy(
            f"Another transaction has been writing to database {wrapper.alias!r} for more than "
            f"{wrapper.lease_timeout:g} s (OPTIONS['pool']['timeout']); it has one writer at a "
            "time. Make transactions short, and do not await others' writes inside one."
        )


def _let_left_generators_end() -> None:
    """Let the loop close async generators that their consumers have left (PEP 525).

    A consumer leaves `async for` in the midst → its next statement still finds the
    generator's block in its context, which the loop is about to roll back, and the
    statement with it (PEP 789) → so two turns of the loop go by first: one in which the
    loop makes the task that closes the generator, one in which that task begins to.
    """
    if current_call() is not None and _get_running_loop() is None:
        suspend(asyncio.sleep(0))
        suspend(asyncio.sleep(0))


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
    _set(scope.wrapper.alias, scope)
    return scope


def end_close(last: Scope) -> None:
    """End the block that ``begin_close()`` began to end. A second call does nothing."""
    ended = last.parent
    if not last.active or ended is None:
        return
    last.active, last.open_on = False, None
    opened_by_threads.discard(id(last))
    last.lease.scopes.remove(last)
    close_scope(ended)
    ended.mutex.release()  # who waits there finds it ended, and goes to its parent


def note_block(scope: Scope, block: Any) -> None:
    """Note the ``Atomic`` that a scope is open for, until it ends."""
    scope.entered = vars(block).setdefault("_loom_scopes", [])
    scope.entered.append(scope)


def of_block(block: Any) -> Scope | None:
    """Return the scope of an ``Atomic``; None if it has several, as a decorator's may."""
    entered = vars(block).get("_loom_scopes", ())
    return entered[0] if len(entered) == 1 else None


def forget_innermost(wrapper: Any, lease: Lease) -> None:
    """End the innermost block although somebody still has the turn in it."""
    scope = innermost(lease, wrapper.alias, None if wrapper.unit is not None else wrapper)
    if scope is not None and scope.kind is Kind.BLOCK:
        close_scope(scope)


def close_scope(scope: Scope) -> None:
    """Forget a block; hand the turn in the one around it to the next."""
    _set(scope.wrapper.alias, scope.parent)
    _end(scope)


def abandon(lease: Lease) -> None:
    """End the blocks that nobody will leave; who waits for a turn in one goes on without it."""
    while lease.scopes:
        scope = lease.scopes[-1]
        if scope.entered is not None:
            scope.entered.append(None)
        scope.abandoned = True
        _end(scope)


def leave_abandoned(block: Any) -> bool:
    """Leave a block if it was abandoned, and so has nothing to end; tell if it was.

    Its generator lives on in a cycle, and is freed in the midst of another's block → that
    would end in its place → what was abandoned is the block's own to know.
    """
    entered = vars(block).get("_loom_scopes", ())
    if None not in entered:
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
        _set(alias, scope.parent)
    return True


def _end(scope: Scope) -> None:
    lease = scope.lease
    if lease.of_thread is not None and len(lease.scopes) == 1:
        scope.wrapper.block_ends(lease)
    # The thread that has the lease finds the block open, and waits for its turn, or none.
    lease.scopes.remove(scope)
    scope.active, scope.open_on = False, None
    opened_by_threads.discard(id(scope))
    if scope.entered is not None:
        scope.entered.remove(scope)
        scope.entered = None
    if scope.parent is not None:
        if scope.parent.kind is Kind.PIN:
            scope.wrapper.block_is_over(scope.lease)
        scope.parent.mutex.release()
    if scope.writers is not None:
        writers, scope.writers = scope.writers, None
        writers.release()


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
    _set(wrapper.alias, scope)
    return scope


def end_sharing(scope: Scope) -> None:
    """End what ``share_cursor()`` began, for every context that knows it."""
    scope.active = False
    known = scopes_variable.get()
    if known is not None and known.get(scope.wrapper.alias) is scope:
        _set(scope.wrapper.alias, _first_active(scope.parent))


def _set(alias: str, scope: Scope | None) -> None:
    known = dict(scopes_variable.get() or ())
    if scope is None:
        known.pop(alias, None)
    else:
        known[alias] = scope
    scopes_variable.set(known or None)
