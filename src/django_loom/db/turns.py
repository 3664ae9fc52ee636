"""Whose turn it is on a connection that several use: statement by statement, block by block.

Each scope has a mutex. A statement takes that of the innermost scope it is in; a nested block
takes that of the scope around it until it ends. So tasks in one transaction take turns, while
nobody gets between the statements of a nested block, whose savepoint would otherwise swallow
or undo what a sibling does.
"""

from __future__ import annotations

import asyncio
from asyncio import _get_running_loop
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django_loom.bridge import Lock, current_call, suspend
from django_loom.exceptions import TransactionBusy

from . import flows
from .lease import Lease
from .scopes import Scope, innermost


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
            is_ours = scope.mutex.acquire_nowait() or _wait_for(scope.mutex, wrapper)
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


def _wait_for(mutex: Lock, wrapper: Any, kept: Lease | None = None) -> bool:
    """Wait until a mutex is ours; tell if it is.

    :param kept: a lease that the code is to use then.
    """
    # We have an idle connection to another database → who has the turn here waits for one to
    # that, and for us → both until the timeout → first it goes back, as at any other wait.
    flows.before_wait(kept)
    return mutex.acquire(wrapper.lease_timeout)


def wait_to_write(wrapper: Any, writers: Lock, kept: Lease | None = None) -> None:
    """Wait for the turn to write, where a database has one writer at a time.

    :param kept: a lease that is to write, and may be idle. To take another then would be to
        wait for a connection while nobody else can write.
    """
    if not writers.acquire_nowait() and not _wait_for(writers, wrapper, kept):
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
