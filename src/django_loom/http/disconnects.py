"""Errors that say no more than that the client has left.

A client that leaves cancels the task of its request. Tasks that this one waits for are
cancelled with it, but step by step: a task group passes a cancellation on when its own task
runs next, so a task below several groups learns of it some turns of the loop later than one
above them. A task that reads the body meanwhile is woken by the disconnect itself. Where it is
deep enough it comes first and raises ``ClientDisconnected``, and its groups then hand
``ExceptionGroup([ClientDisconnected])`` up to the view, in place of the cancellation.

The reader does not wait until it is cancelled, which would make both the same: a view may wait
for its reader in turn, in a ``finally`` or for a thread, and a reader in a task that is not the
request's is never cancelled. It is told at once, and may catch what it is told. What nobody has
caught is taken here for the cancellation that it came before.
"""

from __future__ import annotations

import asyncio

from django.http import UnreadablePostError

from django_loom.exceptions import ClientDisconnected


def is_disconnect_only(error: BaseException) -> bool:
    """Return whether an error, and each error in a group, comes from the client's leaving."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_disconnect_only, error.exceptions))
    if isinstance(error, UnreadablePostError):  # Django's, around any OSError of the body
        return isinstance(error.__cause__, ClientDisconnected)
    return isinstance(error, ClientDisconnected | asyncio.CancelledError)
