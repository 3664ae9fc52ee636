"""``atomic`` in async code."""

from __future__ import annotations

import sys
from asyncio import _get_running_loop
from collections.abc import Awaitable, Callable
from contextlib import AsyncContextDecorator
from functools import partial
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_ITERABLE_COROUTINE
from types import FrameType, TracebackType
from typing import Any, overload

from asgiref.sync import iscoroutinefunction
from django.db import DEFAULT_DB_ALIAS
from django.db.transaction import Atomic

from django_loom.bridge import (
    ThreadBlock,
    Unit,
    begin_block,
    begin_unit,
    current_unit,
    is_collecting,
    leave_unit,
    run_in_waiting_thread,
    run_sync,
    run_to_end_in_waiting_thread,
    thread_waits,
)

from . import scopes
from .atomic_blocks import NothingCanWait

_SUSPENDABLE = CO_COROUTINE | CO_ASYNC_GENERATOR | CO_ITERABLE_COROUTINE


class AsyncAtomic(AsyncContextDecorator):
    """An ``atomic`` block in async code; see ``atomic()``.

    It has no state of a block, as Django's has none: two tasks may use one object.
    """

    def __init__(self, using: str | None, savepoint: bool, durable: bool) -> None:
        self._arguments = using, savepoint, durable
        self._open: list[_Open] = []  # now

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
        opened = _Open(Atomic(*self._arguments), generator, unit, token, of_thread)
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

    def _take_own(self, generator: FrameType | None) -> _Open:
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

    def _in_context(self, candidates: list[_Open]) -> _Open | None:
        scope = scopes.find(self._arguments[0] or DEFAULT_DB_ALIAS)
        while scope is not None:
            for opened in candidates:
                if opened.scope is scope:
                    return opened
            scope = scope.parent
        return None


class _Open:
    """One use of an ``AsyncAtomic``: its block, and the scope that this has opened."""

    def __init__(
        self,
        block: Atomic,
        generator: FrameType | None,
        unit: Unit | None,
        token: Any,
        of_thread: ThreadBlock | None,
    ) -> None:
        self.block = block
        self.generator = generator  # the frame of that which has the block, if one has
        self.of_thread = of_thread
        self.scope: scopes.Scope | None = None
        self._unit = unit
        self._token = token

    def enter(self, in_generator: bool) -> None:
        self.block.__enter__()
        self.scope = scopes.find(self.block.using or DEFAULT_DB_ALIAS)
        if self.scope is not None:
            self.scope.opener = self
            self.scope.in_generator = in_generator
            if self.of_thread is not None:
                self.of_thread.timeout = self.scope.wrapper.lease_timeout

    def exit(self, *exc: Any) -> None:
        self._change_places_with_inner()
        try:
            with scopes.inside(self.scope):
                self.block.__exit__(*exc)
        finally:
            if self.scope is not None:
                self.scope.opener = None  # it is open still if a block in it was not left

    def _change_places_with_inner(self) -> None:
        """Be the inner block, if the caller is in one that it has entered in this one.

        Blocks are entered by hand, and left in that order → the inner one has the turn, and we
        would wait for ourselves → as in Django, what is left first counts as the innermost.
        """
        here = scopes.find(self.block.using or DEFAULT_DB_ALIAS)
        inner = None if here is None else here.opener
        if not isinstance(inner, _Open) or inner is self or inner.of_thread is not None:
            return
        if self.scope is None or here is None or not here.is_within(self.scope):
            return
        if here.in_generator:
            return  # left by its consumer: the loop is about to close it
        inner.scope, self.scope = self.scope, here
        inner.scope.opener, here.opener = inner, self
        inner._token, self._token = self._token, inner._token  # both are of one unit

    async def exit_in_thread(self, of_thread: ThreadBlock, *exc: Any) -> None:
        loop = of_thread.loop
        try:
            async with of_thread.closing():
                await run_in_waiting_thread(partial(self.exit, *exc), loop)
        except BaseException as error:
            # A block in this one is still open, or we were cancelled while we waited for
            # its end: the transaction may not be committed.
            await self.give_up_in_thread(error)
            raise

    async def give_up_in_thread(self, error: BaseException) -> None:
        """Leave the block if it is open in a thread, whose next statement would be in it.

        We are cancelled while the thread enters it, as where it has to connect → the thread
        can't be stopped, and nobody would leave the block → it is left.
        """
        if self.of_thread is not None and self.scope is not None and self.scope.active:
            await run_to_end_in_waiting_thread(partial(self.give_up, error), self.of_thread.loop)

    def give_up(self, error: BaseException) -> None:
        with scopes.inside(self.scope):
            self.block.__exit__(NothingCanWait, NothingCanWait(error), error.__traceback__)
        self.leave_unit()

    def leave_unit(self) -> None:
        """End the unit that the block was, if it was one of its own, or that of a thread."""
        if self.of_thread is not None:
            self.of_thread.end()
        self.scope = None  # which has the connection object, that another unit may get
        if self._token is not None:
            leave_unit(self._token)
        if self._token is not None and self._unit is not None:
            self._unit.end(quietly=True)


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
