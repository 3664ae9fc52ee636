"""``pin()``: one connection for all code of a unit, where a statement does not tell of it."""

from __future__ import annotations

from asyncio import _get_running_loop
from types import TracebackType
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

from django_loom.bridge import (
    Unit,
    begin_unit,
    current_unit,
    leave_unit,
    run_sync,
    thread_waits,
)

from .refusals import refuse_in_coroutine


class Pin:
    """A block whose code has one connection to a database; see ``pin()``."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._own_unit: tuple[Unit, Any] | None = None
        self._wrapper: Any = None

    def __enter__(self) -> None:
        refuse_in_coroutine("enter django_loom.pin()")
        wrapper: Any = connections[self._using]
        if not getattr(wrapper, "leased", False):
            return
        is_pinned = wrapper.pinned is not None
        lease = wrapper.pin_here()
        # A plain thread pins nothing, but notes that it has changed the session.
        if not (is_pinned or (wrapper.unit is None and lease.is_changed)):
            self._wrapper = wrapper
        lease.is_changed = True

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        wrapper, self._wrapper = self._wrapper, None
        if wrapper is not None:
            wrapper.end_pin()

    async def __aenter__(self) -> None:
        # Outside a request the block is a unit: what is in it has the same connection. That of
        # a thread that waits for us is the thread's, which has one.
        unit, loop = current_unit(), _get_running_loop()
        is_over = unit is None or unit.ended
        if is_over and not (loop is not None and thread_waits(loop)):
            self._own_unit = begin_unit(is_part=True)
        try:
            await run_sync(self.__enter__)
        except BaseException:
            self._leave_unit()
            raise

    async def __aexit__(self, *exc: Any) -> None:
        try:
            await run_sync(self.__exit__, *exc)
        finally:
            self._leave_unit()

    def _leave_unit(self) -> None:
        own, self._own_unit = self._own_unit, None
        if own is not None:
            leave_unit(own[1])
            own[0].end(quietly=True)


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
