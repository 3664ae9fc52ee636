"""What is kept of one request, and of the last ones."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

MAX_REQUESTS = 50
MAX_NOTES = 200  # queries, and hand-overs, that one record keeps in full; all are counted

_numbers = itertools.count(1)


@dataclass(slots=True)
class Note:
    """Something that took time; both times are in milliseconds since its request began.

    ``ended`` is None while it lasts, or if it outlasted its request.
    """

    what: str
    began: float
    ended: float | None = None
    failed: bool = False


@dataclass(slots=True)
class Record:
    """What was seen of one request. Threads add to it too, so each change holds its lock."""

    method: str
    path: str
    number: int = field(default_factory=lambda: next(_numbers))
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    status: int | None = None
    streaming: bool = False
    milliseconds: float | None = None
    queries: int = 0
    hops: int = 0
    driver_calls: int = 0
    threads: list[str] = field(default_factory=list)
    driver_threads: list[str] = field(default_factory=list)
    query_notes: list[Note] = field(default_factory=list)
    hop_notes: list[Note] = field(default_factory=list)
    _clock: float = field(default_factory=time.perf_counter, repr=False)
    # Reentrant: the garbage collector may close a cursor, which is a driver's call, at any time.
    _lock: Any = field(default_factory=threading.RLock, repr=False)

    @property
    def is_over(self) -> bool:
        """Whether the response was made: what comes later is no part of the request."""
        return self.milliseconds is not None

    def now(self) -> float:
        """Milliseconds since the request began."""
        return (time.perf_counter() - self._clock) * 1000

    def begin_query(self, sql: str) -> Note:
        """Count a query that begins now."""
        with self._lock:
            self.queries += 1
            return self._noted(self.query_notes, sql)

    def begin_hop(self, what: str) -> Note:
        """Count a function that is handed to a thread now."""
        with self._lock:
            self.hops += 1
            return self._noted(self.hop_notes, what)

    def count_driver_call(self) -> None:
        """Count a call of a driver that cannot wait, in the thread of its connection."""
        with self._lock:
            self.driver_calls += 1

    def count_thread(self, name: str, *, of_driver: bool) -> None:
        """Count a thread that starts now."""
        with self._lock:
            (self.driver_threads if of_driver else self.threads).append(name)

    def end(self, note: Note, *, failed: bool = False) -> None:
        """Note when something ended, unless its request was over before."""
        if not self.is_over:
            note.ended, note.failed = self.now(), failed

    def finish(self, status: int | None, *, streaming: bool = False) -> None:
        """Close the record.

        :param status: of the response; None if there is none, as the client has left.
        """
        with self._lock:
            self.status, self.streaming = status, streaming
            self.milliseconds = self.now()

    def _noted(self, notes: list[Note], what: str) -> Note:
        note = Note(what, self.now())
        if len(notes) < MAX_NOTES:
            notes.append(note)
        return note


def most_at_once(notes: list[Note]) -> int:
    """Return how many of the notes lasted at the same moment, at most."""
    changes = sorted(
        change
        for note in notes
        if note.ended is not None
        for change in ((note.began, 1), (note.ended, -1))
    )  # of one moment, the end comes first: one after the other is not at once
    return max(itertools.accumulate(step for _, step in changes), default=0)


class History:
    """The last records, oldest first; what is too many falls out at the old end."""

    def __init__(self, limit: int) -> None:
        self._records: deque[Record] = deque(maxlen=limit)

    def add(self, record: Record) -> None:
        """Keep a record."""
        self._records.append(record)

    def newest_first(self) -> list[Record]:
        """Return a list of them as they are now."""
        return list(reversed(self._records))

    def find(self, number: int) -> Record | None:
        """Return the record of that number, if it is still kept."""
        return next((each for each in self.newest_first() if each.number == number), None)

    def clear(self) -> None:
        """Forget all."""
        self._records.clear()
