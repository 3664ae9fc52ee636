"""Whether the garbage collector runs, in which nothing may wait.

It may start at any allocation, and ends what it frees: generators, tasks, objects with a
``__del__``. If one of these switched greenlets, others would run while the interpreter is
in the midst of its lists of objects: it crashes.
"""

from __future__ import annotations

import gc
import sys
from collections import deque
from contextvars import Context, copy_context
from threading import get_ident
from typing import Any

# The thread that collects; finalizers may let other threads run meanwhile.
collecting: int | None = None

# It may start in the midst of ContextVar.set() → a finalizer sets a variable as well, and the
# first one goes on with a tree of values that is freed: Python crashes → before 3.12, since when
# it starts between two instructions only, such trees are kept while the instruction may last.
_STARTS_ANYWHERE = sys.version_info < (3, 12)
# The last ones do: of the objects that ContextVar.set() makes, at which it may start, are fewer.
_kept: deque[Context] = deque(maxlen=32)
_kept_for: tuple[int, int] | None = None  # the frame and its instruction


def is_collecting() -> bool:
    """Tell if the garbage collector runs in this thread, and has called this code."""
    return collecting is not None and collecting == get_ident()


def _note(phase: str, info: dict[str, Any]) -> None:
    global collecting
    collecting = get_ident() if phase == "start" else None
    if _STARTS_ANYWHERE and phase == "start":
        _keep_context()
    elif _STARTS_ANYWHERE:
        # A variable remembers the value that it has found last, and does not own it → what a
        # finalizer has set goes with the tree that set() replaces → entering a context makes
        # each variable look again.
        copy_context().run(_nothing)


def _nothing() -> None:
    pass


def _keep_context() -> None:
    global _kept_for
    frame = sys._getframe(1).f_back  # None where no Python code runs, as at a thread's end
    instruction = None if frame is None else (id(frame), frame.f_lasti)
    if instruction is None or instruction != _kept_for:
        _kept.clear()
    _kept_for = instruction
    _kept.append(copy_context())


gc.callbacks.append(_note)
