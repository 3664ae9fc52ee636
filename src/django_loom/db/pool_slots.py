"""A place in a connection pool, and what the pool knows of who uses it."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django_loom.bridge import SyncCall, current_call

from .holders import CallSite, call_site, describe, site_of_waiting

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
    holder: Holder | None = None

    def mark_taken(self) -> None:
        """Remember who takes the slot, and when."""
        self.taken_at = time.monotonic()
        self.holder = Holder.now()

    def describe_holder(self) -> str:
        """Return who holds the slot, for an error message."""
        age = time.monotonic() - self.taken_at
        who = "a caller just woken" if self.holder is None else self.holder.describe()
        return f"held for {age:.1f} s by {who}"


@dataclass(slots=True, eq=False)
class Holder:
    """A task or a thread that has taken a slot.

    A ``run_sync()`` call that holds a slot waits for the database, or it could not
    be asked: its stack tells the line, and is read only if somebody asks. Where the
    slot outlives the call, as in a transaction, the line is noted at once.
    """

    who: asyncio.Task[Any] | threading.Thread | None
    call: SyncCall | None
    site: CallSite | None = None

    @classmethod
    def now(cls) -> Holder:
        """Return the caller."""
        call = current_call()
        if call is None:
            return cls(threading.current_thread(), None, call_site())
        return cls(asyncio.current_task(call.loop), call)

    def note_site(self) -> None:
        """Note the line that led to this call, if none is noted yet."""
        self.site = self.site or call_site()

    def describe(self) -> str:
        """Return the name, and the line that took the slot."""
        site = self.site
        if site is None and self.call is not None:
            task = None if isinstance(self.who, threading.Thread) else self.who
            site = site_of_waiting(self.call, task)
        if isinstance(self.who, asyncio.Task):
            name = self.who.get_name()
        else:
            name = "a callback" if self.who is None else self.who.name
        return f"{name}, taken at {describe(site)}"
