"""Carry synchronous code over an asyncio event loop.

Knows the standard library and greenlet, nothing else.
"""

from .calls import run_sync
from .greenlets import Resource, SyncCall, current_call
from .locks import Lock
from .tasks import task_of
from .threads import run_in_thread
from .waiters import Waiter, running_loop
from .waits import await_, suspend

__all__ = [
    "Lock",
    "Resource",
    "SyncCall",
    "Waiter",
    "await_",
    "current_call",
    "run_in_thread",
    "run_sync",
    "running_loop",
    "suspend",
    "task_of",
]
