"""What ``LOOM`` says of requests: their views, their threads, their bodies."""

from __future__ import annotations

from typing import Any

from django_loom.conf import is_whole, require, section

_AT_LEAST_ONE = "a whole number of at least 1"


@section
class HttpSettings:
    """How requests are served."""

    SYNC_VIEWS: str = "thread"
    """Where synchronous views run: ``"thread"``, safe for code that blocks, or ``"loop"``."""

    THREADS: int = 10
    """Threads for synchronous views, for the whole process."""

    THREAD_QUEUE: int = 1000
    """Requests that may wait for one of ``THREADS``; the next is answered 503."""

    STREAM_THREADS: int = 100
    """Streams of synchronous iterators in threads that may be open at once; others wait so too."""

    MAX_BODY: int | None = 1024**3
    """Bytes that a request body may have, whatever its Content-Length says; None: any number."""

    BODY_TIMEOUT: float = 30.0
    """Seconds that the server waits for a body in all, beyond what ``BODY_RATE`` grants."""

    BODY_RATE: int = 500
    """Bytes per second of body that a client must reach: each as many grant it one second more."""

    GC_THRESHOLD: tuple[int, int, int] | None = (20_000, 20, 50)
    """``gc.set_threshold()`` of a server process, where requests that wait keep many objects."""

    def __post_init__(self) -> None:
        """Check each value.

        :raises LoomSettingError: a value is of a wrong type, or out of range.
        """
        require(self, "SYNC_VIEWS", lambda it: it in ("thread", "loop"), "'thread' or 'loop'")
        for name in ("THREADS", "STREAM_THREADS", "BODY_RATE"):
            require(self, name, lambda it: is_whole(it, 1), _AT_LEAST_ONE)
        require(self, "THREAD_QUEUE", lambda it: is_whole(it, 0), "a whole number, 0 or more")
        require(self, "BODY_TIMEOUT", _is_seconds, "seconds above 0")
        require(
            self,
            "MAX_BODY",
            lambda it: it is None or is_whole(it, 0),
            "a whole number of bytes, or None for no limit",
        )
        require(
            self,
            "GC_THRESHOLD",
            lambda it: it is None or _are_thresholds(it),
            "three whole numbers of at least 1, as gc.set_threshold() takes, or None",
        )


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _are_thresholds(value: Any) -> bool:
    return (
        isinstance(value, tuple | list)
        and len(value) == 3
        and all(is_whole(each, 1) for each in value)
    )
