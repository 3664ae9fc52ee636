"""Carry synchronous code over an asyncio event loop.

Knows the standard library and greenlet, nothing else.
"""

from .calls import run_sync
from .closing import ClosedApart
from .collector import is_collecting
from .destructors import cancel_again
from .greenlets import Resource, SyncCall, current_call
from .locks import Lock
from .rounds import finish_all
from .switches import SwitchObservation, observe_switches
from .tasks import loop_hidden, task_of
from .thread_blocks import ThreadBlock, begin_block
from .thread_calls import run_in_waiting_thread, run_to_end_in_waiting_thread
from .thread_greenlets import current_thread_call
from .unit import (
    Unit,
    begin_unit,
    context_value,
    current_unit,
    leave_unit,
    unit_in_context,
    unit_of_work,
    unit_variable,
)
from .variables import context_variable
from .waiters import Waiter, running_loop
from .waiting_threads import in_waiting_thread, thread_waiting, thread_waits
from .waits import await_, suspend, wait_in_thread_call

__all__ = [
    "ClosedApart",
    "Lock",
    "Resource",
    "SwitchObservation",
    "SyncCall",
    "ThreadBlock",
    "Unit",
    "Waiter",
    "await_",
    "begin_block",
    "begin_unit",
    "cancel_again",
    "context_value",
    "context_variable",
    "current_call",
    "current_thread_call",
    "current_unit",
    "finish_all",
    "in_waiting_thread",
    "is_collecting",
    "leave_unit",
    "loop_hidden",
    "observe_switches",
    "run_in_waiting_thread",
    "run_sync",
    "run_to_end_in_waiting_thread",
    "running_loop",
    "suspend",
    "task_of",
    "thread_waiting",
    "thread_waits",
    "unit_in_context",
    "unit_of_work",
    "unit_variable",
    "wait_in_thread_call",
]
