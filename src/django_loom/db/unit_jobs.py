"""The functions that async code runs in threads of a unit, and which may outlive it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable

from django_loom.bridge import Unit

_KEY: Hashable = "django_loom.db.jobs"
_lock = threading.Lock()  # held for a few instructions


class UnitJobs:
    """Counts them, and knows what waits for the last of them."""

    __slots__ = ("_after_last", "running")

    def __init__(self) -> None:
        self.running = 0
        self._after_last: Callable[[], None] | None = None

    def begin(self) -> None:
        """Note that a thread begins with a function."""
        with _lock:
            self.running += 1

    def end(self) -> None:
        """Note that it has ended, and run what has waited for that."""
        with _lock:
            self.running -= 1
            if self.running or self._after_last is None:
                return
            callback, self._after_last = self._after_last, None
        callback()

    def after_last(self, callback: Callable[[], None]) -> bool:
        """Have a callable run in the thread of the last one; False if none runs."""
        with _lock:
            if self.running:
                self._after_last = callback
            return self.running > 0


def jobs_of(unit: Unit) -> UnitJobs:
    """Return the jobs of a unit."""
    jobs: UnitJobs | None = unit.belongings.get(_KEY)
    if jobs is None:  # another thread may come to the same result
        jobs = unit.belongings.setdefault(_KEY, UnitJobs())
    return jobs


def running_jobs(unit: Unit | None) -> int:
    """Return how many of a unit's run now."""
    jobs: UnitJobs | None = None if unit is None else unit.belongings.get(_KEY)
    return 0 if jobs is None else jobs.running


def _forget_in_child() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
