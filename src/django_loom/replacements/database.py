"""What Django's connections and transactions are, and its helpers for tests of them."""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from typing import Any

from django.db import connections

from django_loom.bridge import (
    loop_hidden,
)


def connection_storage(original: Any) -> Any:
    """Choose connections by task and call; keep those that this thread has."""
    from django_loom.db.storage import ConnectionStorage

    storage = ConnectionStorage()
    for alias in connections:
        if hasattr(original, alias):
            storage.__setattr__(alias, getattr(original, alias))
    return storage


def all_connections(original: Any) -> Any:
    """Look at the connections that a unit has, without giving it those that it may never use.

    Django does so three times for each request, with signals.
    """
    from django_loom.db.storage import present_connections

    @wraps(original)
    def all_connections(self: Any, initialized_only: bool = False) -> Any:
        if not initialized_only or self is not connections:
            return original(self, initialized_only)
        return present_connections()

    return all_connections


def enter_atomic(original: Any) -> Any:
    """Enter as whoever came before us did, with turns for those who share the connection."""
    from django_loom.db import atomic_blocks

    @wraps(original)
    def __enter__(self: Any) -> None:
        atomic_blocks.enter(self, original)

    return __enter__


def exit_atomic(original: Any) -> Any:
    from django_loom.db import atomic_blocks

    @wraps(original)
    def __exit__(self: Any, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        atomic_blocks.exit(self, original, exc_type, exc_value, traceback)

    return __exit__


def callbacks_without_loop(original: Any) -> Any:
    """Let callbacks of a commit use the ORM where a coroutine captures them.

    They use the test's own connection, and block the loop of the test alone.
    """

    @contextmanager
    def capture(cls: Any, *args: Any, **kwargs: Any) -> Any:
        block = original.__func__(cls, *args, **kwargs)
        callbacks = block.__enter__()
        try:
            yield callbacks
        except BaseException as error:
            if not block.__exit__(type(error), error, error.__traceback__):
                raise
        else:
            with loop_hidden():
                block.__exit__(None, None, None)

    return classmethod(wraps(original.__func__)(capture))
