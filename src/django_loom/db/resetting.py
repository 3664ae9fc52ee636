"""Make a changed session clean again, before anybody else gets its connection."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING

from django.db import connections

from django_loom.bridge import (
    begin_unit,
    current_call,
    is_collecting,
    run_sync,
    running_loop,
    unit_of_work,
)

from .lease import Lease

if TYPE_CHECKING:
    from .leased import LeasedDatabaseMixin
    from .pool_slots import Slot

logger = logging.getLogger("django_loom")

_LONGEST = 1e6  # seconds, which no reset lasts


def reset(wrapper: LeasedDatabaseMixin, lease: Lease) -> None:
    """Give a connection back with its session reset, or closed where that can't be.

    On a loop a task of its own does it: a unit ends where nothing can be awaited. The
    slot counts as used until then.
    """
    call = current_call()
    if (
        not wrapper.engine.can_reset_session
        or not wrapper.settings_dict["AUTOCOMMIT"]
        or lease.slot is None
        or is_collecting()
        or (call is not None and call.closing)
    ):
        wrapper.drop(lease)
        return
    loop = running_loop()
    lease.slot.suspect = lease.errors_occurred
    slot = wrapper.detach(lease)
    assert slot is not None
    if loop is None:
        _reset_slot(wrapper, slot)
        return
    # A context of its own, so that it is no part of the unit that has ended, nor of a thread
    # that waits for the loop.
    # Not by the loop's factory: an eager task would begin here, in the midst of a call.
    context = Context()
    context.run(begin_unit)
    asyncio.Task(run_sync(_Reset(wrapper, slot, loop).run), loop=loop, context=context)


class _Guard:
    """Frees the place of a reset that does not end, because its loop is closed before.

    The loop alone has it, as the callback of a timer: what the task of the reset has
    goes when the garbage collector comes by, and a pool may be empty until then.
    """

    def __init__(self, slot: Slot) -> None:
        self.slot: Slot | None = slot
        self.lease: Lease | None = None

    def __call__(self) -> None:
        """Do nothing; the timer drops us."""

    def __del__(self) -> None:
        if self.slot is not None:
            if self.lease is not None:
                self.lease.end()  # the task that is collected later has nothing to give back
            self.slot.pool.discard(self.slot)


class _Reset:
    """One reset on its way, in a task of its own."""

    def __init__(
        self, wrapper: LeasedDatabaseMixin, slot: Slot, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._wrapper = wrapper
        guard = _Guard(slot)
        self._guard = weakref.ref(guard)
        self._timer = weakref.ref(loop.call_later(_LONGEST, guard))

    def run(self) -> None:
        guard = self._guard()
        if guard is None or guard.slot is None:
            return
        slot = guard.slot
        del guard  # nobody has it while we wait
        try:
            _reset_slot(self._wrapper, slot, self._note)
        finally:
            if (guard := self._guard()) is not None:
                guard.slot = None
            if (timer := self._timer()) is not None:
                timer.cancel()

    def _note(self, lease: Lease) -> None:
        if (guard := self._guard()) is not None:
            guard.lease = lease


def _reset_slot(
    wrapper: LeasedDatabaseMixin, slot: Slot, note: Callable[[Lease], None] = lambda lease: None
) -> None:
    try:
        # A unit of its own, of which the object is the connection: a receiver of
        # connection_created that uses it would else wait for one more.
        with unit_of_work():
            alias = wrapper.alias
            connections[alias] = type(wrapper)(wrapper.settings_dict, alias)
            connections[alias].reset_slot(slot, note)
    except Exception:
        logger.warning(
            "Database %r: a connection whose session was changed could not be reset, and "
            "was closed.",
            wrapper.alias,
            exc_info=True,
        )
