"""Whether a loop serves in this process: then nobody looks after the connections of its threads.

Under WSGI, Django closes a thread's connections with each request, and a command ends. A
process whose requests run on a loop has neither: what a plain thread leased from a pool, as
one of an executor's, it would keep as long as it lives.
"""

from __future__ import annotations

import os
from asyncio import AbstractEventLoop
from weakref import ref

# Replaced as a whole, since threads look at it while another changes it.
_loops: tuple[ref[AbstractEventLoop], ...] = ()


def begin(loop: AbstractEventLoop) -> None:
    """Note that an application serves on a loop, until that stops."""
    global _loops
    _loops = (*(each for each in _loops if each() not in (None, loop)), ref(loop))


def is_on() -> bool:
    """Tell if a loop serves now."""
    return any((loop := each()) is not None and loop.is_running() for each in _loops)


def _forget_in_child() -> None:
    global _loops
    _loops = ()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
