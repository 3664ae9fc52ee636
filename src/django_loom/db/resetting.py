"""Make a changed session clean again, before anybody else gets its connection."""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context
from typing import TYPE_CHECKING

from django.db import connections

from django_loom.bridge import current_call, is_collecting, run_sync, running_loop, unit_of_work

from .lease import Lease

if TYPE_CHECKING:
    from .leased import LeasedDatabaseMixin
    from .pool_slots import Slot

logger = logging.getLogger("django_loom")


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
    # A context of its own, so that it is no part of the unit that has ended. The loop has
    # the task, or what it waits for; if it drops both, nobody comes for the slot.
    # Not by the loop's factory: an eager task would begin here, in the midst of a call.
    asyncio.Task(run_sync(_Reset(wrapper, slot).run), loop=loop, context=Context())


class _Reset:
    """One reset on its way: it gives its slot back even if it never runs."""

    def __init__(self, wrapper: LeasedDatabaseMixin, slot: Slot) -> None:
        self._wrapper = wrapper
        self._slot: Slot | None = slot

    def run(self) -> None:
        slot, self._slot = self._slot, None
        if slot is not None:
            _reset_slot(self._wrapper, slot)

    def __del__(self) -> None:
        if self._slot is not None:
            self._slot.pool.discard(self._slot)


def _reset_slot(wrapper: LeasedDatabaseMixin, slot: Slot) -> None:
    try:
        # A unit of its own, of which the object is the connection: a receiver of
        # connection_created that uses it would else wait for one more.
        with unit_of_work():
            alias = wrapper.alias
            connections[alias] = type(wrapper)(wrapper.settings_dict, alias)
            connections[alias].reset_slot(slot)
    except Exception:
        logger.warning(
            "Database %r: a connection whose session was changed could not be reset, and "
            "was closed.",
            wrapper.alias,
            exc_info=True,
        )
