"""What is counted of a load: the requests that were due from one moment to another."""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from time import perf_counter

from django_loom.lab.load.latencies import Latencies

HEAD_END = 4  # bytes between a head and its body
SERVER = re.compile(rb"\r\nserver:[ \t]*([^\r\n]*)", re.IGNORECASE)


class Recorder:
    """Counts the requests that are due from `begin` until `end`, in perf_counter() seconds.

    `completed` counts 2xx answers that came in that time, whenever their requests were sent.
    """

    def __init__(self) -> None:
        self.begin = math.inf
        self.end = math.inf
        self.completed = 0
        self.size = 0
        self.heads_size = 0
        self.first: tuple[int, bytes] | None = None
        self.statuses: Counter[int] = Counter()
        self.errors: Counter[str] = Counter()
        self.latencies = Latencies()
        self._last_answer = 0.0
        self._last_failure = 0.0
        self._open = 0
        self._closed = asyncio.Event()

    @property
    def requests(self) -> int:
        """How many got a 2xx answer."""
        return sum(count for status, count in self.statuses.items() if is_success(status))

    @property
    def document_size(self) -> int:
        """The bytes of the first answer's body."""
        return self.first[0] - len(self.first[1]) - HEAD_END if self.first else 0

    @property
    def server(self) -> str:
        """What the first answer says that the server is."""
        found = SERVER.search(self.first[1]) if self.first else None
        return found[1].decode("latin-1") if found else ""

    @property
    def seconds(self) -> float:
        """From the begin to the last answer; a request that gets none does not lengthen it."""
        return (self._last_answer or self._last_failure or perf_counter()) - self.begin

    def count_sent(self, due: float) -> None:
        """Expect an answer, or a failure, to the request that was due then."""
        if self.begin <= due < self.end:
            self._open += 1

    def count_answer(self, due: float, status: int, size: int, head: bytes) -> None:
        """Count an answer that is whole now: its bytes in all, and its head."""
        now = perf_counter()
        success = is_success(status)
        if success and self.begin <= now < self.end:
            self.completed += 1
        if self.begin <= due < self.end:
            self._last_answer = now
            self.statuses[status] += 1
            self.size += size
            self.heads_size += len(head) + HEAD_END
            if self.first is None:
                self.first = size, head
            if success:
                self.latencies.record(now - due)
            self._close_one()

    def count_failure(self, due: float, kind: str) -> None:
        """Count a request that gets no answer."""
        if self.begin <= due < self.end:
            self._last_failure = perf_counter()
            self.errors[kind] += 1
            self._close_one()

    async def all_answered(self) -> None:
        """Wait until no request that counts is under way any more."""
        while self._open:
            self._closed.clear()
            await self._closed.wait()

    def _close_one(self) -> None:
        self._open -= 1
        if not self._open:
            self._closed.set()


def is_success(status: int) -> bool:
    return 200 <= status < 300
