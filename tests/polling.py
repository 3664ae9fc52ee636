"""Wait for a state that only another thread or process can bring about."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

TRIES = 2000
PAUSE = 0.005


def eventually(condition: Callable[[], object]) -> None:
    """Return when the condition holds; fail if it never does."""
    for _ in range(TRIES):
        if condition():
            return
        time.sleep(PAUSE)
    raise AssertionError(f"never true: {condition}")


async def aeventually(condition: Callable[[], object]) -> None:
    """As `eventually`, letting the loop run meanwhile."""
    for _ in range(TRIES):
        if condition():
            return
        await asyncio.sleep(PAUSE)
    raise AssertionError(f"never true: {condition}")
