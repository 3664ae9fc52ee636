"""Keep a process on one processor core, where the system can (Linux)."""

from __future__ import annotations

import os
import sys

from django_loom.lab.exceptions import PlanError


def cores() -> list[int]:
    """The processor cores that this process may use; empty where that can't be known."""
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []


AT_START = cores()


def pin(core: int | None) -> None:
    """Keep this process on a core, or let it use those that it started with again."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, AT_START if core is None else {core})


def check_cores(first: int | None, processes: int) -> None:
    """Raise `PlanError` unless each process can have a core of its own from `first` on."""
    usable = cores()
    if first is None or not usable:
        return
    missing = set(range(first, first + processes)) - set(usable)
    if missing:
        raise PlanError(f"core {min(missing)} is not among those of this process: {usable}")


def server_and_generator() -> tuple[int | None, int | None]:
    """A core for the server and another for the generator; None for both if there is but one."""
    usable = cores()
    return (usable[0], usable[1]) if len(usable) > 1 else (None, None)
