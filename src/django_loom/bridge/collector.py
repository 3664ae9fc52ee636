"""Whether the garbage collector runs, in which nothing may wait.

It may start at any allocation, and ends what it frees: generators, tasks, objects with a
``__del__``. If one of these switched greenlets, others would run while the interpreter is
in the midst of its lists of objects: it crashes.
"""

from __future__ import annotations

import gc
from threading import get_ident
from typing import Any

# The thread that collects; finalizers may let other threads run meanwhile.
collecting: int | None = None


def is_collecting() -> bool:
    """Tell if the garbage collector runs in this thread, and has called this code."""
    return collecting is not None and collecting == get_ident()


def _note(phase: str, info: dict[str, Any]) -> None:
    global collecting
    collecting = get_ident() if phase == "start" else None


gc.callbacks.append(_note)
