"""The line of the user's code that led to a call, cheap enough for every call."""

from __future__ import annotations

import asyncio
import os
import sys
from enum import Enum
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from greenlet import getcurrent, greenlet

from django_loom.bridge import SyncCall

CallSite = tuple[str, int, str]


class _Place(Enum):
    """What a file is to who looks for the user's line."""

    USERS = "the user's code"
    OTHERS = "code to pass over"
    ENTRANCE = "where a server's request comes in: what is around it has led to none of it"


_not_the_users = [
    "asgiref",
    "asyncio",
    "concurrent.futures",
    "contextlib",
    "daphne",
    "django",
    "django_loom",
    "granian",
    "gunicorn",
    "hypercorn",
    "threading",
    "uvicorn",
]

# Files, not code objects: a string keeps its hash, a code object works it out anew.
_known_files: dict[str, _Place] = {}


def pass_over(*names: str) -> None:
    """Look for the user's line above the frames of these packages, such as a driver's."""
    _not_the_users.extend(names)


def begin_at(module: ModuleType) -> None:
    """Look for the user's line below the frames of a module: it calls the user's code."""
    _known_files[str(module.__file__)] = _Place.ENTRANCE


def call_site() -> CallSite | None:
    """Return file, line and function of the nearest frame that is the user's own.

    Frames of Django, asgiref, asyncio, servers, django-loom and drivers are passed over, and
    those around a request. Inside ``run_sync()`` the search goes on in the coroutine that
    awaits it, and in a greenlet of a library in the code that has started it.
    """
    current: greenlet | None = getcurrent()
    frame: FrameType | None = sys._getframe(1)
    while current is not None:
        found = _nearest(frame)
        if found is not None:
            return _site(found)
        current = current.driver if type(current) is SyncCall else current.parent
        frame = None if current is None else current.gr_frame
    return None


def site_of_waiting(call: SyncCall | None, task: asyncio.Task[Any] | None) -> CallSite | None:
    """Return the same for a ``run_sync()`` call that waits now, and the task it is in."""
    current: greenlet | None = None if call is None else call.child or call
    while current is not None:
        found = _nearest(current.gr_frame)
        if found is not None:
            return _site(found)
        current = None if current is call else current.parent
    site = None
    coroutine: Any = None if task is None else task.get_coro()
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None)
        if frame is not None and _place_of(frame) is not _Place.OTHERS:
            site = _site(frame)  # and on: the innermost is the nearest
        coroutine = getattr(coroutine, "cr_await", None)
    return site


def _nearest(frame: FrameType | None) -> FrameType | None:
    """Return the nearest frame that ends the search."""
    while frame is not None and _place_of(frame) is _Place.OTHERS:
        frame = frame.f_back
    return frame


def _site(frame: FrameType) -> CallSite | None:
    if _place_of(frame) is not _Place.USERS:
        return None
    return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname


def is_users(frame: FrameType) -> bool:
    """Tell if a frame is of the user's own code, or of a package that we do not know."""
    return _place_of(frame) is _Place.USERS


def _place_of(frame: FrameType) -> _Place:
    filename = frame.f_code.co_filename
    place = _known_files.get(filename)
    if place is None:
        place = _known_files[filename] = _place_of_file(filename)
    return place


def _place_of_file(filename: str) -> _Place:
    # What has a frame is imported, so that a server need not be for our sake.
    imported = [module for name in _not_the_users if (module := sys.modules.get(name))]
    others = [_path(module) for module in imported]
    return _Place.OTHERS if filename.startswith(("<", *others)) else _Place.USERS


def _path(module: ModuleType) -> str:
    """Return what the names of a module's or package's files begin with."""
    file = str(module.__file__)
    return str(Path(file).parent) + os.sep if hasattr(module, "__path__") else file


def describe(site: CallSite | None) -> str:
    """Return the site as a person reads it."""
    if site is None:
        return "a place that is not known"
    filename, line, function = site
    return f"{filename}:{line} in {function}"
