"""``atomic`` in async code."""

from __future__ import annotations

import sys
from asyncio import _get_running_loop
from collections.abc import Awaitable, Callable
from contextlib import AsyncContextDecorator
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_ITERABLE_COROUTINE
from types import FrameType, TracebackType
from typing import Any, overload

from asgiref.sync import iscoroutinefunction
from django.db import DEFAULT_DB_ALIAS
from django.db.transaction import Atomic

from django_loom.bridge import (
    begin_block,
    begin_unit,
    current_unit,
    is_collecting,
    run_sync,
    thread_waits,
)

from . import scopes
from .open_blocks import OpenBlock

_SUSPENDABLE = CO_COROUTINE | CO_ASYNC_GENERATOR | CO_ITERABLE_COROUTINE


class AsyncAtomic(AsyncContextDecorator):
    """An ``atomic`` block in async code; see ``atomic()``.

    It has no state of a block, as Django's has none: two tasks may use one object.
    """

    def __init__(self, using: str | None, savepoint: bool, durable: bool) -> None:
        self._arguments = using, savepoint, durable
        self._open: list[OpenBlock] = []  # now

    def _recreate_cm(self) -> AsyncAtomic:
        return AsyncAtomic(*self._arguments)

    def __aenter__(self) -> Awaitable[None]:
        return self._enter(_generator_of(sys._getframe(1)), _is_in_async_generator())

    async def _enter(self, generator: FrameType | None, in_generator: bool) -> None:
        # Outside a request the block is a unit: what is in it has the same connection. That of
        # a thread that waits for us is the thread's, which has one.
        unit, loop = current_unit(), _get_running_loop()
        of_thread, token = None, None
        if (unit is None or unit.ended) and loop is not None and thread_waits(loop):
            of_thread = await begin_block(loop)
            of_thread.in_generator = in_generator
        elif unit is None or unit.ended:
            unit, token = begin_unit(is_part=True)
        opened = OpenBlock(Atomic(*self._arguments), generator, unit, token, of_thread)
        try:
            await run_sync(opened.enter, in_generator)
        except GeneratorExit:
            opened.leave_unit()
            raise
        except BaseException as error:
            await opened.give_up_in_thread(error)
            opened.leave_unit()
            raise
        self._open.append(opened)

    def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> Awaitable[None]:
        return self._exit(_generator_of(sys._getframe(1)), exc_type, exc, traceback)

    async def _exit(
        self,
        generator: FrameType | None,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        opened = self._take_own(generator)
        if exc is not None and (_get_running_loop() is None or is_collecting()):
            # The garbage collector closes the coroutine, and its loop is gone.
            opened.give_up(exc)
            return
        try:
            if opened.of_thread is not None:
                await opened.exit_in_thread(opened.of_thread, exc_type, exc, traceback)
            else:
                await run_sync(opened.exit, exc_type, exc, traceback)
        finally:
            opened.leave_unit()

    def _take_own(self, generator: FrameType | None) -> OpenBlock:
        """Return the block that is left, of those that are open by this object.

        A generator that was left half-way has one, and the loop closes it in a task that is in
        another one → the task's context tells of that one, and the context of who has left the
        generator of the generator's → a generator has those of its own frame, which lives as
        long as they are open, and no other code has them, if it has any itself.
        """
        own = [each for each in self._open if each.generator is generator]
        if generator is not None and own:
            opened = own[-1]
        else:
            # An exit stack may leave what a generator has entered. Where the context tells of
            # none, as in a fixture's teardown, it is the last.
            candidates = own or self._open
            opened = self._in_context(candidates) or candidates[-1]
        self._open.remove(opened)
        return opened

    def _in_context(self, candidates: list[OpenBlock]) -> OpenBlock | None:
        scope = scopes.find(self._arguments[0] or DEFAULT_DB_ALIAS)
        while scope is not None:
            for opened in candidates:
                if opened.scope is scope:
                    return opened
            scope = scope.parent
        return None


def _generator_of(frame: FrameType) -> FrameType | None:
    """Return the frame if it is an async generator's."""
    return frame if frame.f_code.co_flags & CO_ASYNC_GENERATOR else None


def _is_in_async_generator() -> bool:
    """Tell if the caller's caller runs in an async generator, which may be left half-way."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code.co_flags & _SUSPENDABLE:
        if frame.f_code.co_flags & CO_ASYNC_GENERATOR:
            return True
        frame = frame.f_back
    return False


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
