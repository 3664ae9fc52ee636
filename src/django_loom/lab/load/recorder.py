"""What is counted of a load: the requests that were due from one moment to another."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from time import perf_counter

from django_loom.lab.load.latencies import Latencies
from django_loom.lab.load.responses import Response


class Recorder:
    """Counts the requests that are due from `begin` until `end`, in perf_counter() seconds.

    `completed` counts 2xx answers that came in that time, whenever their requests were sent.
    `document_size` is the bytes of the first answer's body, and `server` what that says it is from.
    """

    def __init__(self) -> None:
        self.begin = math.inf
        self.end = math.inf
        self.completed = 0
        self.size = 0
        self.bodies_size = 0
        self.document_size = 0
        self.server = ""
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
    def seconds(self) -> float:
        """From the begin to the last answer; a request that gets none does not lengthen it."""
        return (self._last_answer or self._last_failure or perf_counter()) - self.begin

    def count_sent(self, due: float) -> None:
        """Expect an answer, or a failure, to the request that was due then."""
        if self.begin <= due < self.end:
            self._open += 1

    def count_answer(self, due: float, response: Response) -> None:
        """Count an answer that is whole now."""
        now = perf_counter()
        success = is_success(response.status)
        if success and self.begin <= now < self.end:
            self.completed += 1
        if self.begin <= due < self.end:
            if not self.statuses:
                self.document_size = response.body_size
                self.server = response.header(b"server")
            self._last_answer = now
            self.statuses[response.status] += 1
            self.size += response.size
            self.bodies_size += response.body_size
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
