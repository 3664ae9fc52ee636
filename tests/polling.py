"""Wait for a state that only another thread or process can bring about."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from inspect import getsource

TRIES = 2000
PAUSE = 0.005


def eventually(condition: Callable[[], object]) -> None:
    """Return when the condition holds; fail if it never does."""
    for _ in range(TRIES):
        if condition():
            return
        time.sleep(PAUSE)
    raise AssertionError(_never(condition))


async def aeventually(condition: Callable[[], object]) -> None:
    """As `eventually`, letting the loop run meanwhile."""
    for _ in range(TRIES):
        if condition():
            return
        await asyncio.sleep(PAUSE)
    raise AssertionError(_never(condition))


def _never(condition: Callable[[], object]) -> str:
    """What was waited for, and who has connections: mostly it is for one to come back."""
    from django_loom.db import registry
    from django_loom.db.pool_errors import describe

    try:
        source = getsource(condition).strip()
    except (OSError, TypeError):
        source = repr(condition)
    pools = "\n".join(f"{pool.alias}: {describe(pool._state)}" for pool in registry.pools())
    return f"never true: {source}\n{pools}"
