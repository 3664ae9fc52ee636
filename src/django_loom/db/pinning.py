"""``pin()``: one connection for all code of a unit, where a statement does not tell of it."""

from __future__ import annotations

import asyncio
import sys
from asyncio import _get_running_loop
from collections.abc import Awaitable
from types import FrameType, TracebackType
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from greenlet import getcurrent

from django_loom.bridge import (
    Unit,
    begin_unit,
    current_unit,
    leave_unit,
    run_sync,
    thread_waits,
)

from .refusals import refuse_in_coroutine


class _PinBlock:
    """One use of a ``Pin``: its block, and the unit that this is, if it is one of its own."""

    def __init__(self, frame: FrameType) -> None:
        self.frame = frame  # of the code that has the block
        self.runner = _runner()
        self._own_unit: tuple[Unit, Any] | None = None
        self._wrapper: Any = None
        self._blocks: set[object] | None = None  # those that keep the pin, this one among them

    def enter(self, using: str) -> None:
        wrapper: Any = connections[using]
        if getattr(wrapper, "leased", False):
            self._blocks = wrapper.begin_pin(self)
            self._wrapper = wrapper

    def exit(self) -> None:
        if self._blocks is not None:
            self._blocks.discard(self)
            if not self._blocks:
                self._wrapper.end_pin(self._blocks)

    def begin_unit(self) -> None:
        """Be a unit outside a request: what is in the block has the same connection.

        That of a thread that waits for us is the thread's, which has one.
        """
        unit, loop = current_unit(), _get_running_loop()
        is_over = unit is None or unit.ended
        if is_over and not (loop is not None and thread_waits(loop)):
            self._own_unit = begin_unit(is_part=True)

    def leave_unit(self) -> None:
        self._wrapper = None  # which another unit may get
        own, self._own_unit = self._own_unit, None
        if own is not None:
            leave_unit(own[1])
            own[0].end(quietly=True)


class Pin:
    """A block whose code has one connection to a database; see ``pin()``.

    It has no state of a block: two tasks may use one object.
    """

    def __init__(self, using: str) -> None:
        self._using = using
        self._open: list[_PinBlock] = []  # now

    def __enter__(self) -> None:
        refuse_in_coroutine("enter django_loom.pin()")
        block = _PinBlock(sys._getframe(1))
        block.enter(self._using)
        self._open.append(block)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._take_own(sys._getframe(1)).exit()

    def __aenter__(self) -> Awaitable[None]:
        return self._enter(sys._getframe(1))

    async def _enter(self, frame: FrameType) -> None:
        block = _PinBlock(frame)
        block.begin_unit()
        try:
            await run_sync(block.enter, self._using)
        except BaseException:
            block.leave_unit()
            raise
        self._open.append(block)

    def __aexit__(self, *exc: Any) -> Awaitable[None]:
        return self._exit(sys._getframe(1))

    async def _exit(self, frame: FrameType) -> None:
        block = self._take_own(frame)
        try:
            await run_sync(block.exit)
        finally:
            block.leave_unit()

    def _take_own(self, frame: FrameType) -> _PinBlock:
        """Return the block that is left, of those that are open by this object."""
        # Mostly the code that leaves it has entered it. An exit stack enters and leaves it in
        # functions of its own, in one task or greenlet, and a fixture's teardown not even so.
        own = [each for each in self._open if each.frame is frame]
        if not own:
            runner = _runner()
            own = [each for each in self._open if each.runner is runner] or self._open
        block = own[-1]
        self._open.remove(block)
        return block


def _runner() -> object:
    """Return the task, or below the bridge and in a thread the greenlet, that calls."""
    return getcurrent() if _get_running_loop() is None else asyncio.current_task()


def pin(using: str = DEFAULT_DB_ALIAS) -> Pin:
    """Let all code of a block, and of the tasks that it starts, use one connection.

    For what changes the session where no statement tells of it, as in a function of the
    database::

        with django_loom.pin():                 # async with, in async code
            cursor.execute("SELECT become_tenant(%s)", [name])

    At its end the session is reset, or the connection closed. Statements take turns
    meanwhile. In plain threads without ``OPTIONS["pool"]``, which have one connection in any
    case, it does nothing.

    :param using: alias of the database.
    :raises SynchronousOnlyOperation: ``with`` in a coroutine.
    """
    return Pin(using)
