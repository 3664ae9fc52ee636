"""The errors of a connection pool, with its figures and those who hold its connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_loom.exceptions import PoolClosed, PoolFull, PoolTimeout

if TYPE_CHECKING:
    from .pool_state import PoolState


def timeout_error(state: PoolState) -> PoolTimeout:
    """Return the error of a caller that has waited for ``timeout`` seconds."""
    return PoolTimeout(
        f"No connection to database {state.alias!r} became free within "
        f"{state.options.timeout:g} s (OPTIONS['pool']['timeout']). "
        f"{describe(state)}"
    )


def still_used_error(state: PoolState, timeout: float) -> PoolTimeout:
    """Return the error of a caller that has waited for the end of a closed pool."""
    return PoolTimeout(
        f"Connections to database {state.alias!r} are in use still, {timeout:g} s "
        f"after its pool was closed. {describe(state)}"
    )


def full_error(state: PoolState) -> PoolFull:
    """Return the error of a caller that may not even wait."""
    return PoolFull(
        f"{len(state.queue.requests)} callers wait for a connection to database "
        f"{state.alias!r} already, as many as OPTIONS['pool']['max_waiting'] "
        f"allows. {describe(state)}"
    )


def closed_error(state: PoolState) -> PoolClosed:
    """Return the error of a caller that comes to a closed pool, or waits while it is closed."""
    return PoolClosed(f"The connection pool of database {state.alias!r} is closed.")


def describe(state: PoolState) -> str:
    """Return how many connections there are, and who holds each that is in use."""
    # A copy, made in one step: the garbage collector may run between two, and give
    # a slot back.
    holders = "".join(f"\n  - {slot.describe_holder()}" for slot in list(state.used))
    return (
        f"The pool has {len(state.used)} of {state.options.max_size} connections in "
        f"use, {len(state.idle)} idle, {len(state.queue.requests)} callers waiting. "
        f"Held by:{holders or ' nobody'}"
    )
