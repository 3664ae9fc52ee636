"""``atomic`` on both sides: Django's own, made aware of tasks, and its async form."""

from __future__ import annotations

from asyncio import _get_running_loop
from collections.abc import Awaitable, Callable
from contextlib import AsyncContextDecorator
from types import TracebackType
from typing import Any, overload

from asgiref.sync import iscoroutinefunction
from django.db import DEFAULT_DB_ALIAS
from django.db.transaction import Atomic, get_connection

from django_loom.bridge import run_sync

from . import scopes
from .wrapper import LoomDatabaseMixin, refuse_in_coroutine

_django_enter = Atomic.__enter__
_django_exit = Atomic.__exit__


def enter(block: Atomic) -> None:
    """Enter a block; this is ``Atomic.__enter__`` when the app is installed."""
    connection: Any = get_connection(block.using)
    if not isinstance(connection, LoomDatabaseMixin):
        _django_enter(block)
        return
    refuse_in_coroutine("enter transaction.atomic()")
    scope = scopes.open_scope(connection)
    try:
        _django_enter(block)
        connection.note_lease_site()
    except BaseException:
        scopes.close_scope(scope)
        raise


def exit(
    block: Atomic,
    exc_type: type[BaseException] | None,
    exc: BaseException | None,
    traceback: TracebackType | None,
) -> None:
    """Leave a block; this is ``Atomic.__exit__`` when the app is installed."""
    connection: Any = get_connection(block.using)
    if not isinstance(connection, LoomDatabaseMixin) or not connection.scopes:
        _django_exit(block, exc_type, exc, traceback)
        return
    try:
        last = scopes.begin_close(connection)
    except BaseException as error:
        # A task of the block still uses the connection, and does not end in time, or
        # we were cancelled while we waited for it. Neither may commit the block.
        _give_up(block, connection, error)
        raise
    try:
        _django_exit(block, exc_type, exc, traceback)
    finally:
        scopes.end_close(last)
        connection.give_back_if_unowned()


def _give_up(block: Atomic, connection: LoomDatabaseMixin, error: BaseException) -> None:
    """Leave a block without a wait: close its connection, so that the server rolls back."""
    connection.close()
    _django_exit(block, type(error), error, error.__traceback__)
    scopes.forget_innermost(connection)
    connection.give_back_if_unowned()


class AsyncAtomic(AsyncContextDecorator):
    """An ``atomic`` block in async code; see ``atomic()``."""

    def __init__(self, using: str | None, savepoint: bool, durable: bool) -> None:
        self._arguments = using, savepoint, durable
        self._blocks: list[tuple[Atomic, scopes.Scope | None]] = []

    def _recreate_cm(self) -> AsyncAtomic:
        return AsyncAtomic(*self._arguments)

    async def __aenter__(self) -> None:
        block = Atomic(*self._arguments)
        self._blocks.append((block, await run_sync(_enter_and_find, block)))

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        block, scope = self._blocks.pop()
        if exc is not None and _get_running_loop() is None:
            # The garbage collector closes the coroutine, and its loop is gone.
            _give_up_inside(block, scope, exc)
            return
        await run_sync(_exit_inside, block, scope, exc_type, exc, traceback)


def _enter_and_find(block: Atomic) -> scopes.Scope | None:
    block.__enter__()
    return scopes.find(block.using or DEFAULT_DB_ALIAS, None)


def _exit_inside(block: Atomic, scope: scopes.Scope | None, *exc: Any) -> None:
    with scopes.inside(scope):
        block.__exit__(*exc)


def _give_up_inside(block: Atomic, scope: scopes.Scope | None, error: BaseException) -> None:
    with scopes.inside(scope):
        connection: Any = get_connection(block.using)
        if isinstance(connection, LoomDatabaseMixin) and connection.scopes:
            _give_up(block, connection, error)


@overload
def atomic(using: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]: ...
@overload
def atomic(
    using: str | None = None, savepoint: bool = True, durable: bool = False
) -> AsyncAtomic: ...
def atomic(using: Any = None, savepoint: bool = True, durable: bool = False) -> Any:
    """Run a block of async code in a transaction.

    The counterpart of ``django.db.transaction.atomic``, with the same arguments::

        async with django_loom.atomic():
            await order.asave()

        @django_loom.atomic
        async def pay(order): ...

    Every ORM call in the block and in the tasks that it starts uses the
    transaction's connection, one statement at a time. Nested blocks, sync and
    async in any mix, are savepoints.

    :param using: alias of the database; the default one if None.
    :param savepoint: whether a nested block makes a savepoint.
    :param durable: raise ``RuntimeError`` if the block is nested in another.
    :raises TypeError: used as a decorator on a function that is not async.
    """
    if not callable(using):
        return AsyncAtomic(using, savepoint, durable)
    if not iscoroutinefunction(using):
        raise TypeError(
            f"django_loom.atomic decorates async functions, and {using!r} is not one. "
            "Use django.db.transaction.atomic for synchronous functions."
        )
    return AsyncAtomic(None, savepoint, durable)(using)
