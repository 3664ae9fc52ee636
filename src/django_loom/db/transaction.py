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
        return self._enter(sys._getframe(1), _is_in_async_generator())

    async def _enter(self, frame: FrameType, in_generator: bool) -> None:
        # Outside a request the block is a unit: what is in it has the same connection. That of
        # a thread that waits for us is the thread's, which has one.
        unit, loop = current_unit(), _get_running_loop()
        of_thread, token = None, None
        if (unit is None or unit.ended) and loop is not None and thread_waits(loop):
            of_thread = await begin_block(loop)
            of_thread.in_generator = in_generator
        elif unit is None or unit.ended:
            unit, token = begin_unit(is_part=True)
        opened = OpenBlock(Atomic(*self._arguments), frame, unit, token, of_thread)
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
        return self._exit(sys._getframe(1), exc_type, exc, traceback)

    async def _exit(
        self,
        frame: FrameType,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        opened = self._take_own(frame)
        if exc is not None and _nothing_can_wait(exc, frame):
            opened.give_up(exc)
            return
        await opened.leave(exc_type, exc, traceback)

    def _take_own(self, frame: FrameType) -> OpenBlock:
        """Return the block that is left, of those that are open by this object.

        A generator that was left half-way has one, and the loop closes it in a task that is in
        another one, or the collector a coroutine in the midst of any code → what the context
        tells of is that code's → whoever leaves what was entered in its own frame has that,
        for a frame lives as long as its blocks are open.
        """
        own = [each for each in self._open if each.frame is frame]
        opened = own[-1] if own else self._of_another_frame(frame)
        self._open.remove(opened)
        return opened

    def _of_another_frame(self, frame: FrameType) -> OpenBlock:
        """Return the block that one frame leaves, and another has entered, as of an exit stack.

        The context tells. Where it tells of none, as in a fixture's teardown, it is the last.
        """
        if is_collecting():
            # The context is of the code in whose midst the collector runs, which goes on.
            here = self._in_context(self._open)
            return next((each for each in reversed(self._open) if each is not here), self._open[-1])
        candidates = self._open
        if not _is_async_generator(frame):
            candidates = [each for each in candidates if not _is_async_generator(each.frame)]
            candidates = candidates or self._open
        return self._in_context(candidates) or candidates[-1]

    def _in_context(self, candidates: list[OpenBlock]) -> OpenBlock | None:
        scope = scopes.find(self._arguments[0] or DEFAULT_DB_ALIAS)
        while scope is not None:
            for opened in candidates:
                if opened.scope is scope:
                    return opened
            scope = scope.parent
        return None


def _is_async_generator(frame: FrameType) -> bool:
    return bool(frame.f_code.co_flags & CO_ASYNC_GENERATOR)


def _nothing_can_wait(exc: BaseException, frame: FrameType) -> bool:
    """Tell if code that is left by an exception can't await anything.

    The collector closes it, maybe after its loop has gone; or somebody closes the coroutine,
    which then may not suspend: a generator may, for ``aclose()`` is awaited. Which of them it
    is, the frame tells in which GeneratorExit was raised.
    """
    if _get_running_loop() is None or is_collecting():
        return True
    if not isinstance(exc, GeneratorExit):
        return False
    raised = exc.__traceback__
    while raised is not None and raised.tb_next is not None:
        raised = raised.tb_next
    return not _is_async_generator(frame if raised is None else raised.tb_frame)


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
