"""Django's own ``atomic``, made aware of tasks, of shared connections and of what is left."""

from __future__ import annotations

import sys
from asyncio import _get_running_loop
from collections.abc import Callable
from functools import partial
from inspect import CO_GENERATOR
from types import FrameType, TracebackType
from typing import Any

from django.core.exceptions import SynchronousOnlyOperation
from django.db.transaction import Atomic, get_connection

from django_loom.bridge import current_call, finish_all, is_collecting

from . import blocks, flows, scopes, turns
from .function_blocks import require_blocks
from .holders import call_site
from .lease import Lease, LeaseState
from .refusals import refuse_in_coroutine
from .wrapper import LoomDatabaseMixin

Enter = Callable[[Atomic], None]
Exit = Callable[..., None]


def enter(block: Atomic, django_enter: Enter) -> None:
    """Enter a block; this is ``Atomic.__enter__`` when the app is installed.

    :param django_enter: what that was before.
    """
    connection: Any = get_connection(block.using)
    if not isinstance(connection, LoomDatabaseMixin):
        django_enter(block)
        return
    refuse_in_coroutine("enter transaction.atomic()")
    scope, is_outermost = _open_scope(block)
    connection, lease = scope.wrapper, scope.lease
    blocks.note_block(scope, block, _generator_of(sys._getframe(2)))
    try:
        require_blocks(connection.alias)  # the block around may have ended while we waited
        if is_outermost and (writers := connection.writers()) is not None:
            turns.wait_to_write(connection, writers)
            scope.writers = writers
        if is_outermost and lease.pin is not None:
            connection.block_begins(lease, lease.autocommit)
        django_enter(block)
        connection.note_lease_site(lease)
        if is_outermost and (lease.pin is not None or lease.open_cursors):
            flows.note_block(scope)
            scope.site = call_site()
        elif connection.leased and lease.flow is not flows.current_flow():
            flows.note_block(scope)
    except BaseException:
        blocks.close_scope(scope)
        connection.give_back_if_unneeded(lease)
        raise


def _open_scope(block: Atomic) -> tuple[scopes.Scope, bool]:
    """Take a connection and the turn on it; tell if the block is a transaction's outermost.

    While we wait for the turn, the block or cursor around us may end, and its connection
    serve somebody else → so we look again at what is ours.
    """
    while True:
        connection: Any = get_connection(block.using)
        if not connection.in_atomic_block:
            connection.ensure_connection()
        lease = connection.lease_here()
        if lease.is_stand_in:
            lease = connection.pinned or lease
        of = lease if connection.leased else connection
        scope = blocks.open_scope(connection, lease)
        if scope.parent is None and connection.leased and lease.flow is not flows.current_flow():
            # The cursor has ended whose reader's connection we were to share → others that
            # waited with us would use it beside us, and its reader too → none of us does.
            blocks.close_scope(scope)
            continue
        if lease.state is LeaseState.HELD or of.in_atomic_block:
            return scope, not of.in_atomic_block
        blocks.close_scope(scope)


def exit(
    block: Atomic,
    django_exit: Exit,
    exc_type: type[BaseException] | None,
    exc: BaseException | None,
    traceback: TracebackType | None,
) -> None:
    """Leave a block; this is ``Atomic.__exit__`` when the app is installed.

    :param django_exit: what that was before.
    """
    generator = _generator_of(sys._getframe(2))
    if blocks.leave_abandoned(block, generator):
        return
    left = blocks.of_block(block, generator)
    if is_collecting() and left is not None:
        # The collector runs in whatever code allocates something, and ends a generator that
        # others have left → the connection found here is that code's, which would lose its
        # transaction → we go where the block was entered.
        with scopes.inside(left):
            _give_up(block, left.wrapper, left.lease, django_exit, exc or GeneratorExit())
        return
    connection: Any = get_connection(block.using)
    if left is not None and _is_elsewhere(left, connection):
        with scopes.inside(left):
            try:
                refuse_in_coroutine("leave transaction.atomic()")
            except SynchronousOnlyOperation as error:
                _give_up(block, left.wrapper, left.lease, django_exit, exc or error)
                if exc is None:
                    raise
            else:
                _exit(block, left.wrapper, django_exit, exc_type, exc, traceback)
    elif isinstance(connection, LoomDatabaseMixin) and connection.scopes:
        _exit(block, connection, django_exit, exc_type, exc, traceback)
    else:
        django_exit(block, exc_type, exc, traceback)


def _generator_of(frame: FrameType) -> FrameType | None:
    """Return the frame if it is a generator's, which any code may go on with, or free."""
    return frame if frame.f_code.co_flags & CO_GENERATOR else None


def _is_elsewhere(block: scopes.Scope, connection: Any) -> bool:
    """Tell if a block is left by code that has another connection, or none.

    Threads of a library iterate over a generator, one after the other, each in a context of
    its own → the one that ends it knows nothing of the block in it, which nobody else
    will leave → it is left where it was entered.
    """
    if not block.wrapper.leased:
        return False
    return connection is not block.wrapper or connection.present_lease() is not block.lease


def _exit(
    block: Atomic,
    connection: Any,
    django_exit: Exit,
    exc_type: type[BaseException] | None,
    exc: BaseException | None,
    traceback: TracebackType | None,
) -> None:
    lease = connection.lease_here()
    call = current_call()
    if is_collecting() or (call is not None and call.closing) or isinstance(exc, NothingCanWait):
        _give_up(block, connection, lease, django_exit, exc or GeneratorExit())
        return
    try:
        last = blocks.begin_close(connection, lease)
    except BaseException as error:
        # A task of the block still uses the connection, and does not end in time, or
        # we were cancelled while we waited for it. Neither may commit the block.
        _give_up(block, connection, lease, django_exit, error)
        raise
    of = lease if connection.leased else connection
    commits = exc_type is None and not (of.needs_rollback or of.closed_in_transaction)
    is_committed = False
    try:
        django_exit(block, exc_type, exc, traceback)
        is_committed = commits
    finally:
        lease.end_cursors_of_block()
        blocks.end_close(last, is_committed=is_committed)
        connection.give_back_if_unneeded(lease)


def _give_up(
    block: Atomic,
    connection: Any,
    lease: Lease,
    django_exit: Exit,
    error: BaseException,
) -> None:
    """Leave a block without a wait: close its connection, so that the server rolls back."""
    close = connection.close
    if connection.leased and (_get_running_loop() is not None or is_collecting()):
        # close() refuses a coroutine, and leaves alone a pinned connection on which code beside
        # the block may work, for whose end nothing can wait in a collection.
        close = partial(connection.close_below_block, lease)
    finish_all(
        [
            close,
            partial(django_exit, block, type(error), error, error.__traceback__),
            partial(blocks.forget_innermost, connection, lease),
            partial(connection.give_back_if_unneeded, lease),
        ]
    )


class NothingCanWait(Exception):
    """Tells the end of a block that its loop is gone."""
