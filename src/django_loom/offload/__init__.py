"""Threads for what must leave the loop: few, by what they are for, with figures."""

from .executor import Executor, ThreadStatistics
from .jobs import Flow
from .registry import close_executors, executor, executors

__all__ = [
    "Executor",
    "Flow",
    "ThreadStatistics",
    "close_executors",
    "executor",
    "executors",
]
