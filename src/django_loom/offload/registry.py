"""The executors of the process: one for each kind of work, with threads of its own."""

from __future__ import annotations

from typing import Any

from django.core.signals import setting_changed

from django_loom.conf import read

from .conf import EXECUTORS, OffloadSettings
from .executor import Executor

# Its functions use files of their callers, who close them next.
_UNTIL_DONE = {"files"}

_executors: dict[str, Executor] = {}


def executor(name: str) -> Executor:
    """Return the executor for a kind of work, one of the keys of ``LOOM["EXECUTORS"]``."""
    found = _executors.get(name)
    if found is None:
        threads = read(OffloadSettings).EXECUTORS.get(name, EXECUTORS[name])
        made = Executor(name, threads, until_done=name in _UNTIL_DONE)
        found = _executors.setdefault(name, made)  # another thread may have been here, too
    return found


def executors() -> dict[str, Executor]:
    """Return all executors by their names."""
    return {name: executor(name) for name in EXECUTORS}


def close_executors() -> None:
    """Let the threads end when all that was handed over is done. Later work gets new ones."""
    for each in _executors.copy().values():
        each.close()


def _read_again(*, setting: str, **kwargs: Any) -> None:
    if setting == "LOOM":
        close_executors()
        _executors.clear()


setting_changed.connect(_read_again)
