"""What a project's settings say: the app, and ``LOOM``, few keys with their defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.signals import setting_changed

from .exceptions import AppNotInstalled, LoomSettingError


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# What must leave the loop, and how many threads it gets: see decision 19.
EXECUTORS: Mapping[str, int] = {
    "files": 32,
    "passwords": _cores() + 1,
    "mail": 4,
    "cancellations": 4,
}


@dataclass(frozen=True, slots=True)
class LoomSettings:
    """``settings.LOOM`` with its defaults; a key is spelled as the attribute."""

    SYNC_VIEWS: str = "thread"
    """Where synchronous views run: ``"thread"``, safe for code that blocks, or ``"loop"``."""

    THREADS: int = 10
    """Threads for synchronous views, for the whole process."""

    THREAD_QUEUE: int = 1000
    """Requests that may wait for one of ``THREADS``; the next is answered 503."""

    STREAM_THREADS: int = 100
    """Streams of synchronous iterators in threads that may be open at once; others wait so too."""

    EXECUTORS: dict[str, int] = field(default_factory=dict)
    """Threads for other work that would block the loop, where not as many as by default."""

    MAX_BODY: int | None = 1024**3
    """Bytes that a request body may have, whatever its Content-Length says; None: any number."""

    BODY_TIMEOUT: float = 30.0
    """Seconds that the server waits for a body in all, beyond what ``BODY_RATE`` grants."""

    BODY_RATE: int = 500
    """Bytes per second of body that a client must reach: each as many grant it one second more."""

    GC_THRESHOLD: tuple[int, int, int] | None = (20_000, 20, 50)
    """``gc.set_threshold()`` of a server process, where requests that wait keep many objects."""

    THREAD_LOCALS: tuple[str, ...] = ()
    """Packages and modules whose ``threading.local`` stays the thread's. In others it keeps the
    values of a unit of work: a request with all it starts, or an outermost ``run_sync()``."""

    def __post_init__(self) -> None:
        """Check each value.

        :raises LoomSettingError: a value is of a wrong type, or out of range.
        """
        self._require("SYNC_VIEWS", self.SYNC_VIEWS in ("thread", "loop"), "'thread' or 'loop'")
        for name in ("THREADS", "STREAM_THREADS", "BODY_RATE"):
            self._require(name, _is_whole(getattr(self, name), 1), "a whole number of at least 1")
        self._require("THREAD_QUEUE", _is_whole(self.THREAD_QUEUE, 0), "a whole number, 0 or more")
        self._require(
            "EXECUTORS",
            _are_executors(self.EXECUTORS),
            f"a dictionary of whole numbers of at least 1 for some of {', '.join(EXECUTORS)}",
        )
        self._require(
            "MAX_BODY",
            self.MAX_BODY is None or _is_whole(self.MAX_BODY, 0),
            "a whole number of bytes, or None for no limit",
        )
        self._require(
            "GC_THRESHOLD",
            self.GC_THRESHOLD is None or _are_thresholds(self.GC_THRESHOLD),
            "three whole numbers of at least 1, as gc.set_threshold() takes, or None",
        )
        self._require(
            "THREAD_LOCALS",
            _are_modules(self.THREAD_LOCALS),
            "a tuple or list of the names of packages or modules",
        )
        timeout: object = self.BODY_TIMEOUT
        is_seconds = isinstance(timeout, int | float) and not isinstance(timeout, bool)
        self._require("BODY_TIMEOUT", is_seconds and self.BODY_TIMEOUT > 0, "seconds above 0")

    def _require(self, name: str, valid: bool, expected: str) -> None:
        if not valid:
            raise LoomSettingError(
                f"LOOM[{name!r}] must be {expected}; it is {getattr(self, name)!r}."
            )


def _is_whole(value: object, minimum: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= minimum


def _are_executors(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() <= EXECUTORS.keys()
        and all(_is_whole(each, 1) for each in value.values())
    )


def _are_thresholds(value: object) -> bool:
    return (
        isinstance(value, tuple | list)
        and len(value) == 3
        and all(_is_whole(each, 1) for each in value)
    )


def _are_modules(value: object) -> bool:
    return isinstance(value, tuple | list) and all(
        isinstance(each, str) and all(part.isidentifier() for part in each.split("."))
        for each in value
    )


@lru_cache(maxsize=1)
def loom_settings() -> LoomSettings:
    """Return ``settings.LOOM`` with defaults for what it leaves out.

    :raises LoomSettingError: a key is not known, or a value not valid.
    """
    given: Any = getattr(settings, "LOOM", {})
    if not isinstance(given, dict):
        raise LoomSettingError(f"LOOM must be a dictionary; it is {given!r}.")
    known = [each.name for each in fields(LoomSettings)]
    for key in given:
        if key not in known:
            raise LoomSettingError(f"LOOM has the unknown key {key!r}. Known: {', '.join(known)}.")
    return LoomSettings(**given)


def thread_locals() -> Sequence[str]:
    """Return ``LOOM["THREAD_LOCALS"]``; nothing if the settings are wrong, or not there yet.

    Locals are made at any time: a mistake in the settings is not theirs to report.
    """
    given: Any = getattr(settings, "LOOM", None) if settings.configured else None
    names: Any = given.get("THREAD_LOCALS", ()) if isinstance(given, dict) else ()
    return names if _are_modules(names) else ()


def require_app(what: str) -> None:
    """Refuse to go on where the app is missing: Django would not be on the loop.

    While Django is still loading the apps, nothing is refused.

    :param what: what of django-loom is used, as the subject of a sentence.
    :raises AppNotInstalled: saying what to add.
    """
    if apps.ready and not apps.is_installed("django_loom"):
        raise AppNotInstalled(
            f"{what} needs the app 'django_loom', which is not in INSTALLED_APPS. "
            'Write INSTALLED_APPS = ["django_loom", ...].'
        )


def _read_again(*, setting: str, **kwargs: Any) -> None:
    if setting == "LOOM":
        loom_settings.cache_clear()


setting_changed.connect(_read_again)
