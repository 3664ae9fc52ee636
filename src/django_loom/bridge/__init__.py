"""Carry synchronous code over an asyncio event loop.

Knows the standard library and greenlet, nothing else.
"""

from .calls import run_sync
from .collector import is_collecting
from .destructors import cancel_again
from .greenlets import Resource, SyncCall, current_call
from .locks import Lock
from .tasks import loop_hidden, task_of
from .threads import run_in_thread
from .unit import (
    Unit,
    begin_unit,
    context_value,
    current_unit,
    leave_unit,
    unit_of_work,
    unit_variable,
)
from .waiters import Waiter, running_loop
from .waits import await_, suspend

__all__ = [
    "Lock",
    "Resource",
    "SyncCall",
    "Unit",
    "Waiter",
    "await_",
    "begin_unit",
    "cancel_again",
    "context_value",
    "current_call",
    "current_unit",
    "is_collecting",
    "leave_unit",
    "loop_hidden",
    "run_in_thread",
    "run_sync",
    "running_loop",
    "suspend",
    "task_of",
    "unit_of_work",
    "unit_variable",
]
