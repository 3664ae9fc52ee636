"""A place in a connection pool, and what the pool knows of who uses it."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django_loom.bridge import current_call

from .holders import CallSite, call_site, describe

if TYPE_CHECKING:
    from .pools import ConnectionPool


@dataclass(slots=True, eq=False)
class Slot:
    """One of the pool's ``max_size`` places.

    ``connection`` is None until whoever acquired the slot has opened one.
    ``attributes`` are those of the database wrapper that belong to the connection
    rather than to the wrapper, such as its autocommit state.
    ``suspect`` asks for a check before the connection is used again.
    """

    pool: ConnectionPool
    connection: Any = None
    attributes: dict[str, Any] = field(default_factory=dict)
    suspect: bool = False
    expires_at: float = 0.0
    idle_since: float = 0.0
    taken_at: float = 0.0
    taken_from: CallSite | None = None
    taken_by: object = None

    def mark_taken(self) -> None:
        """Remember who takes the slot, from which line, and when."""
        self.taken_at = time.monotonic()
        self.taken_from = call_site()
        # A thread, or the loop whose current task is the one that awaits the call.
        call = current_call()
        self.taken_by = threading.current_thread() if call is None else _task(call.loop)

    def describe_holder(self) -> str:
        """Return who holds the slot, for an error message."""
        age = time.monotonic() - self.taken_at
        name = getattr(self.taken_by, "get_name", None)
        who = name() if name is not None else getattr(self.taken_by, "name", "?")
        return f"{who} for {age:.1f} s, taken at {describe(self.taken_from)}"


def _task(loop: asyncio.AbstractEventLoop) -> object:
    return asyncio.current_task(loop)
