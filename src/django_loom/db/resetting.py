"""Make a changed session clean again, before anybody else gets its connection."""

from __future__ import annotations

import asyncio
import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any

from django.db import connections

from django_loom.bridge import (
    begin_unit,
    current_call,
    is_collecting,
    run_sync,
    running_loop,
    unit_of_work,
)

from .engine import Engine
from .lease import Lease

if TYPE_CHECKING:
    from .leased import LeasedDatabaseMixin
    from .pool_slots import Slot

logger = logging.getLogger("django_loom")

# Seconds that a reset gets; then its connection is closed: the server or its network stalls.
RESET_TIMEOUT = 2.0

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
    lease.slot.reset_begins(wrapper.unit)
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
    is_leased = False

    def leased(lease: Lease) -> None:
        nonlocal is_leased
        is_leased = True
        note(lease)

    try:
        # A unit of its own, of which the object is the connection: a receiver of
        # connection_created that uses it would else wait for one more.
        with unit_of_work():
            alias = wrapper.alias
            connections[alias] = type(wrapper)(wrapper.settings_dict, alias)
            connections[alias].reset_slot(slot, leased)
    except Exception as error:
        logger.warning(
            "Database %r: a connection whose session was changed could not be reset (%s), and "
            "was closed.",
            wrapper.alias,
            " ".join(str(error).split()),
            exc_info=logger.isEnabledFor(logging.DEBUG),
        )
    finally:
        if not is_leased:
            slot.pool.discard(slot)


@contextmanager
def time_limit(engine: Engine, connection: Any) -> Iterator[None]:
    """Cut a connection off where the block takes too long.

    :raises TimeoutError: it did, and failed.
    """
    call = current_call()
    has_passed = False

    def cut_off() -> None:
        nonlocal has_passed
        has_passed = True
        engine.cut_off(connection)

    try:
        with _late_in_thread(cut_off) if call is None else _late_on_loop(call.loop, cut_off):
            yield
    except Exception as error:
        if has_passed:
            raise TimeoutError(f"no answer within {RESET_TIMEOUT:g} s") from error
        raise


@contextmanager
def _late_on_loop(loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> Iterator[None]:
    """Act when the block has lasted for ``RESET_TIMEOUT``."""
    timer = loop.call_later(RESET_TIMEOUT, act)
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _late_in_thread(act: Callable[[], None]) -> Iterator[None]:
    """Do the same where a wait blocks the thread: another one looks at the clock."""
    running, watched = threading.Lock(), threading.Lock()
    running.acquire()
    watched.acquire()

    def watch() -> None:
        try:
            if not running.acquire(timeout=RESET_TIMEOUT):
                act()
        finally:
            watched.release()

    watching = threading.Thread(target=watch, name="django_loom reset", daemon=True)
    with suppress(RuntimeError):  # the interpreter is ending
        watching.start()
    try:
        yield
    finally:
        # The time passes as the block ends → the next user's connection would be cut off →
        # nobody gets it before the other thread has ended.
        running.release()
        if watching.ident is not None:
            # Not join(): at a thread's own end threading has forgotten it, and would make up
            # another one, which stays for ever.
            watched.acquire()
