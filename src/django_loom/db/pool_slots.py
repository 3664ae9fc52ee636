"""A place in a connection pool, and what the pool knows of who uses it."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent

from django_loom.bridge import SyncCall, current_call, task_of

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
        self.holder = Holder()

    def describe_holder(self) -> str:
        """Return who holds the slot, for an error message."""
        age = time.monotonic() - self.taken_at
        holder = self.holder  # read once: the garbage collector may give the slot back
        who = "a caller just woken" if holder is None else holder.describe()
        return f"held for {age:.1f} s by {who}"


class Holder:
    """A task or a thread that has taken a slot.

    A ``run_sync()`` call that holds a slot waits for the database, or it could not
    be asked: its stack tells the line, and is read only if somebody asks. Where the
    slot outlives the call, as in a transaction, the line is noted at once.

    References are weak. The pool, which is never collected, would otherwise keep a
    task alive that everybody else has forgotten, and the task its slot.
    """

    __slots__ = ("_call", "_site", "_who")

    def __init__(self) -> None:
        self._site: CallSite | None = None
        self._call: weakref.ref[SyncCall] | None = None
        self._who: weakref.ref[asyncio.Task[Any] | threading.Thread] | None = None
        call: Any = getcurrent()
        if type(call) is not SyncCall and (call := current_call()) is None:
            self._who = weakref.ref(threading.current_thread())
            self._site = call_site()
            return
        self._call = weakref.ref(call)
        if (task := task_of(call)) is not None:
            self._who = weakref.ref(task)

    def note_site(self) -> None:
        """Note the line that led to this call, if none is noted yet."""
        self._site = self._site or call_site()

    def describe(self) -> str:
        """Return the name, and the line that took the slot."""
        who = None if self._who is None else self._who()
        call = None if self._call is None else self._call()
        site = self._site
        if site is None and call is not None:
            site = site_of_waiting(call, who if isinstance(who, asyncio.Task) else None)
        if isinstance(who, asyncio.Task):
            name = who.get_name()
        else:
            name = "a callback" if who is None else who.name
        return f"{name}, taken at {describe(site)}"
