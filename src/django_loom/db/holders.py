"""The line of the user's code that led to a call, cheap enough for every call."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import asgiref
import django
from greenlet import getcurrent, greenlet

from django_loom.bridge import SyncCall

CallSite = tuple[str, int, str]

_not_the_users = [str(Path(__file__).parents[1]), str(Path(contextlib.__file__))]

# Files, not code objects: a string keeps its hash, a code object works it out anew.
_known_files: dict[str, bool] = {}


def pass_over(*packages: ModuleType) -> None:
    """Look for the user's line above the frames of these packages, such as a driver's."""
    _not_the_users.extend(str(Path(p.__file__).parent) for p in packages if p.__file__)


pass_over(asgiref, asyncio, django)


def call_site() -> CallSite | None:
    """Return file, line and function of the nearest frame that is the user's own.

    Frames of Django, asgiref, asyncio, django-loom and drivers are passed over. Inside
    ``run_sync()`` the search goes on in the coroutine that awaits it, and in a greenlet
    of a library in the code that has started it.
    """
    current: greenlet | None = getcurrent()
    frame: FrameType | None = sys._getframe(1)
    while current is not None:
        site = _nearest(frame)
        if site is not None:
            return site
        current = current.driver if type(current) is SyncCall else current.parent
        frame = None if current is None else current.gr_frame
    return None


def site_of_waiting(call: SyncCall, task: asyncio.Task[Any] | None) -> CallSite | None:
    """Return the same for a ``run_sync()`` call that waits now, and the task it is in."""
    current: greenlet | None = call.child or call
    site = None
    while current is not None and site is None:
        site = _nearest(current.gr_frame)
        current = None if current is call else current.parent
    coroutine: Any = None if task is None or site is not None else task.get_coro()
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None)
        if frame is not None and _is_users(frame.f_code.co_filename):
            site = _site(frame)  # and on: the innermost is the nearest
        coroutine = getattr(coroutine, "cr_await", None)
    return site


def _nearest(frame: FrameType | None) -> CallSite | None:
    while frame is not None:
        if _is_users(frame.f_code.co_filename):
            return _site(frame)
        frame = frame.f_back
    return None


def _site(frame: FrameType) -> CallSite:
    return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname


def is_users(frame: FrameType) -> bool:
    """Tell if a frame is of the user's own code, or of a package that we do not know."""
    return _is_users(frame.f_code.co_filename)


def _is_users(filename: str) -> bool:
    known = _known_files.get(filename)
    if known is None:
        known = not filename.startswith(("<", *_not_the_users))
        _known_files[filename] = known
    return known


def describe(site: CallSite | None) -> str:
    """Return the site as a person reads it."""
    if site is None:
        return "a place that is not known"
    filename, line, function = site
    return f"{filename}:{line} in {function}"
