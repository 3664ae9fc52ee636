"""Leave the loop for work that would block it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from .greenlets import current_call
from .waits import await_

T = TypeVar("T")
P = ParamSpec("P")


def run_in_thread(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function in a thread if the caller is on a loop, else right here.

    Context variables are copied to the thread, as ``asyncio.to_thread()`` does.
    """
    if current_call() is None:
        return fn(*args, **kwargs)
    return await_(asyncio.to_thread(fn, *args, **kwargs))
