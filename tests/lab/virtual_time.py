"""Time that passes by the loop's rounds and not by the clock, so that no machine is too slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from heapq import heappop, heappush
from itertools import count

import pytest

from django_loom.lab.load import clients, load, pacing, recorder

ROUND = 0.001  # seconds of a round of the loop
READING = 1e-9  # seconds that a look at the clock takes
real_sleep = asyncio.sleep


class VirtualTime:
    """Stands in for perf_counter() and asyncio.sleep(), of the load and of its server."""

    def __init__(self) -> None:
        self.now = 0.0
        self._asleep: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()

    def perf_counter(self) -> float:
        self.now += READING  # no two moments are the same, as with the real one
        return self.now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await real_sleep(0)
            return
        awake = asyncio.get_running_loop().create_future()
        heappush(self._asleep, (self.now + seconds, next(self._numbers), awake))
        await awake

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[None]:
        """Let time pass while the block runs."""
        task = asyncio.create_task(self._pass())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _pass(self) -> None:
        while True:
            await real_sleep(0)
            self.now += ROUND
            while self._asleep and self._asleep[0][0] <= self.now:
                _, _, awake = heappop(self._asleep)
                if not awake.done():  # it was cancelled
                    awake.set_result(None)


@pytest.fixture
def virtual_time(monkeypatch: pytest.MonkeyPatch) -> VirtualTime:
    """Time for a load, and for what its server does meanwhile, from 0 on."""
    time = VirtualTime()
    for module in (clients, load, pacing, recorder):
        monkeypatch.setattr(module, "perf_counter", time.perf_counter)
    monkeypatch.setattr(asyncio, "sleep", time.sleep)
    return time
