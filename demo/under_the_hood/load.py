"""The load: many requests that the site sends to itself, with the time of each."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp

from .recorder import HISTORIES

REQUESTS = 200
AT_ONCE = 50
DEADLINE_SECONDS = 60.0


class Busy(Exception):
    """A run is under way; only one is made at a time."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One request: seconds since its load began, and whether it was answered with 200."""

    began: float
    ended: float
    good: bool


@dataclass(frozen=True, slots=True)
class Load:
    """What one view did with its requests.

    ``hops`` and ``threads`` are those that the recorder saw in them, in all.
    """

    path: str
    sent: list[Sent]
    hops: int
    threads: int

    @property
    def seconds(self) -> float:
        """From the first request to the last answer."""
        return max(each.ended for each in self.sent)

    @property
    def per_second(self) -> float:
        """Good answers per second."""
        return sum(each.good for each in self.sent) / self.seconds

    @property
    def median(self) -> float:
        """Seconds that the request in the middle took."""
        return statistics.median(each.ended - each.began for each in self.sent)

    @property
    def failures(self) -> int:
        """Requests without a good answer."""
        return sum(not each.good for each in self.sent)


@dataclass(frozen=True, slots=True)
class Run:
    """The loads of one run, in their order."""

    at: datetime
    loads: list[Load]


class Runner:
    """Makes one run at a time, and keeps the last."""

    def __init__(self) -> None:
        self.latest: Run | None = None
        self.is_running = False

    async def run(self, origin: str, paths: list[str]) -> Run:
        """Load each path, one after the other. A cancelled run leaves no request behind.

        :param origin: where this site is, such as ``http://127.0.0.1:8000``.
        :raises Busy: another run is under way.
        :raises TimeoutError: it took longer than ``DEADLINE_SECONDS``.
        """
        if self.is_running:
            raise Busy
        self.is_running = True
        try:
            async with asyncio.timeout(DEADLINE_SECONDS), _session(origin) as session:
                loads = [await _load(session, path) for path in paths]
        finally:
            self.is_running = False
        self.latest = Run(datetime.now(UTC), loads)
        return self.latest


runner = Runner()


@asynccontextmanager
async def _session(origin: str) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    # The name is one of ALLOWED_HOSTS, whichever address the server listens at.
    headers = {"Host": "localhost"}
    async with aiohttp.ClientSession(origin, connector=connector, headers=headers) as session:
        yield session


async def _load(session: aiohttp.ClientSession, path: str) -> Load:
    """Send the requests: as many at once as there are clients, each one after the other."""
    await _answered(session, path)  # what only the first request does is not measured
    history = HISTORIES["load"]
    history.clear()
    sent: list[Sent] = []
    numbers = iter(range(REQUESTS))
    start = time.perf_counter()

    async def client() -> None:
        for _ in numbers:
            began = time.perf_counter() - start
            good = await _answered(session, path)
            sent.append(Sent(began, time.perf_counter() - start, good))

    async with asyncio.TaskGroup() as clients:
        for _ in range(AT_ONCE):
            clients.create_task(client())
    records = [each for each in history.newest_first() if each.path == path]
    hops = sum(each.hops for each in records)
    threads = sum(len(each.threads) for each in records)
    return Load(path, sorted(sent, key=lambda each: each.began), hops, threads)


async def _answered(session: aiohttp.ClientSession, path: str) -> bool:
    try:
        async with session.get(path) as response:
            await response.read()
            return response.status == 200
    except aiohttp.ClientError:
        return False
