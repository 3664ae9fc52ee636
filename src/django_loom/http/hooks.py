"""What the HTTP room asks of the database room, which it does not import."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

AsyncView = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class DatabaseHooks:
    """Small callables that ``django_loom.asgi`` fills in.

    ``atomic(alias)`` decorates an async view so that it runs in a transaction.
    ``thread_leases()`` is entered in a thread around a view: what the view uses comes
    from the pools, and goes back there at its end. ``before_wait()`` is called in such a
    thread after each part of a stream, as the client or the next part may be slow: it gives
    back what nobody needs meanwhile.
    ``serves(loop)`` is called when a loop begins to serve.
    """

    atomic: Callable[[str], Callable[[AsyncView], AsyncView]]
    thread_leases: Callable[[], AbstractContextManager[None]]
    before_wait: Callable[[], None]
    serves: Callable[[AbstractEventLoop], None] = lambda loop: None
