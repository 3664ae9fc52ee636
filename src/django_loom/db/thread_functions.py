"""What a function of async code that runs in a thread has leased there, and its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import Context
from functools import partial
from typing import Any

from django_loom.bridge import current_unit, finish_all, in_waiting_thread

from . import flows
from .function_blocks import noting_blocks
from .lease import Lease
from .unit_jobs import jobs_of


@contextmanager
def leases_end() -> Iterator[None]:
    """Give back at the end of a block what a function has leased in this thread.

    Synchronous code may wait in the same thread for the async code to end: what that has
    leased stays, and what the thread's own connection objects have.

    Outside a unit, the next function in the thread relies on what this one has done to
    the session, or on its transaction without autocommit → on a clean connection it would
    commit each statement, or write to other tables → such a one stays the thread's.
    """
    leases = flows.of_this_thread()
    before = set(leases)
    flow_end, leases.flow_end = leases.flow_end, None
    leases.jobs += 1
    unit = current_unit()
    jobs = None if unit is None else jobs_of(unit)
    if jobs is not None:
        jobs.begin()
    try:
        with noting_blocks():
            yield
    finally:
        leases.jobs -= 1
        ended = _taken_since(before, leases)
        try:
            if leases.flow_end is not None:
                leases.flow_end.after_call()
            leases.flow_end = flow_end
            for lease, wrapper in ended:
                wrapper.flow_ends(lease)
        except BaseException:
            leases.flow_end = flow_end
            with suppress(BaseException):
                finish_all(partial(wrapper.flow_ends, lease) for lease, wrapper in ended)
            raise
        finally:
            if jobs is not None:
                Context().run(jobs.end)  # no part of the unit any more


def _taken_since(before: set[Lease], leases: flows.ThreadLeases) -> Iterator[tuple[Lease, Any]]:
    """Take out the leases of a thread that have come, but for those of its own objects.

    Of those, a clean one goes unless synchronous code waits in the thread.
    """
    for lease, wrapper in list(leases.items()):
        is_over = lease not in before
        if wrapper.unit is None:
            is_over = not (in_waiting_thread() or wrapper.is_threads_own(lease))
        if is_over and leases.pop(lease, None) is not None:
            yield lease, wrapper
