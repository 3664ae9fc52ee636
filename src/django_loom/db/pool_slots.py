"""A place in a connection pool, and what the pool knows of who uses it."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent

from django_loom.bridge import (
    SyncCall,
    Unit,
    current_call,
    current_unit,
    task_of,
    unit_variable,
)

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

    def reset_begins(self, unit: Unit | None) -> None:
        """Note that the session is being reset, which a unit has changed."""
        self.holder = ResetHolder(self.holder, unit)

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

    __slots__ = ("_call", "_site", "_unit", "_who")
    _call: weakref.ref[SyncCall] | None
    _who: weakref.ref[asyncio.Task[Any] | threading.Thread] | None

    def __init__(self) -> None:
        self._site: CallSite | None = None
        self._unit: weakref.ref[Unit] | None = None
        call: Any = getcurrent()
        if type(call) is not SyncCall and (call := current_call()) is None:
            self._call = None
            self._who = weakref.ref(threading.current_thread())
            self.note_site()
            return
        self._call = weakref.ref(call)
        task = task_of(call)
        self._who = None if task is None else weakref.ref(task)

    def note_site(self) -> None:
        """Note the line that led to this call and its unit, if they are not noted yet."""
        self._site = self._site or call_site()
        if self._unit is None and (unit := current_unit()) is not None:
            self._unit = weakref.ref(unit)

    def call_ends(self) -> None:
        """Note that the call has ended; it may serve others now, whose lines are not ours."""
        self._call = None

    def describe(self) -> str:
        """Return the name, the request if it is one, and the line that took the slot."""
        who = None if self._who is None else self._who()
        call = None if self._call is None else self._call()
        task = who if isinstance(who, asyncio.Task) else None
        site = self._site or site_of_waiting(call, task)
        unit = _unit_of(call) if self._unit is None else self._unit()
        name = task.get_name() if task else getattr(who, "name", "a callback")
        if not (what := "" if unit is None else unit.describe()):
            return f"{name}, taken at {describe(site)}"
        if site is None:
            return f"{name} for {what}"
        # With ATOMIC_REQUESTS no line of the user's has led to it: the view was yet to begin.
        how = "taken" if self._site or self._unit is None else "now"
        return f"{name} for {what}, {how} at {describe(site)}"


class ResetHolder(Holder):
    """The reset of a session, which soon ends; the slot counts as used until then."""

    __slots__ = ("_changed_by",)

    def __init__(self, before: Holder | None, unit: Unit | None) -> None:
        self._site = None if before is None else before._site
        self._changed_by = unit

    def note_site(self) -> None:
        """Do nothing: the reset is nobody's code."""

    def describe(self) -> str:
        """Return whose session is reset, and the line that took the slot."""
        what = "" if self._changed_by is None else self._changed_by.describe()
        name = "the reset of its session" + (f" after {what}" if what else "")
        return name if self._site is None else f"{name}, taken at {describe(self._site)}"


def _unit_of(call: SyncCall | None) -> Unit | None:
    """Return the unit that a call which waits now is in."""
    context = None
    with suppress(ValueError):  # it runs, in another thread
        context = None if call is None else call.gr_context
    return None if context is None else context.get(unit_variable)
