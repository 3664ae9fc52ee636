"""What code is told that may not use the database here."""

from __future__ import annotations

import os
from asyncio import _get_running_loop

from django.core.exceptions import SynchronousOnlyOperation
from django.db import DatabaseError, OperationalError


def refuse_in_coroutine(what: str) -> None:
    """Raise if the caller is a coroutine, which would block its loop.

    :raises SynchronousOnlyOperation: saying what to write instead.
    """
    if _get_running_loop() is None or os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
        return
    raise SynchronousOnlyOperation(
        f"You cannot {what} straight from a coroutine: it would block the event loop. "
        "Use the method that starts with an 'a' (await Book.objects.aget(...), "
        "await book.asave()), or run the synchronous code with "
        "await django_loom.run_sync(function, ...). For a transaction write "
        "async with django_loom.atomic()."
    )


def not_own(alias: str) -> DatabaseError:
    """Return the error of code that has kept another's connection object."""
    return DatabaseError(
        f"This connection object to database {alias!r} belongs to another unit of work (a "
        "request, a run_sync() call, a thread). Take it from django.db.connections where you "
        "use it, and do not keep it. Make a new cursor there, too."
    )


def session_lost(alias: str) -> OperationalError:
    """Return the error of code whose unit has lost the connection that was pinned to it."""
    return OperationalError(
        f"The connection to database {alias!r} was closed, because a statement on it was "
        "cancelled and could not be ended. Its session had been changed (SET, LISTEN, an "
        "advisory lock, a temporary table, autocommit, django_loom.pin()), and is lost. To go on "
        "with a new one call connection.close(), and change that again."
    )
