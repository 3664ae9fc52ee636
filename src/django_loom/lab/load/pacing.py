"""When the clients of a load send: as they can, so many in all, or as a clock says."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from time import perf_counter

from django_loom.lab.load.clients import Client

TICK = 0.001  # seconds; the finest step of every loop's timers


class Closed:
    """The closed model: a client sends when its last answer came.

    It ends with so many requests, or when perf_counter() is `until`; then it waits for the answers
    that are missing, and sets `all_idle`.
    """

    def __init__(self, clients: int, requests: float = math.inf, until: float = math.inf) -> None:
        self.all_idle = asyncio.Event()
        self._active = clients
        self._left = requests
        self._until = until

    def __call__(self, client: Client) -> None:
        if self._left and perf_counter() < self._until:
            self._left -= 1
            client.send()
            return
        self._active -= 1
        if not self._active:
            self.all_idle.set()


class Schedule:
    """The open model: the request of number i is due i / rate seconds after the start.

    One that finds no client idle is sent late, by the next that comes idle, and its latency counts
    from when it was due: a server that stalls cannot hide the requests it kept from being sent.
    """

    def __init__(self, rate: float, start: float, requests: int) -> None:
        self._rate = rate
        self._start = start
        self._requests = requests
        self._next = 0
        self._idle: deque[Client] = deque()

    def __call__(self, client: Client) -> None:
        self._idle.append(client)
        self._send_due()

    def due(self, number: int) -> float:
        """The perf_counter() seconds at which a request is due."""
        return self._start + number / self._rate

    async def run(self, until: float) -> None:
        """Send what is due until perf_counter() says so much."""
        while (now := perf_counter()) < until:
            await asyncio.sleep(max(TICK, min(self.due(self._next), until) - now))
            self._send_due()

    def unsent(self) -> list[float]:
        """When those were due that found no client until now."""
        return [self.due(number) for number in range(self._next, self._requests)]

    def _send_due(self) -> None:
        # By turns, so that no connection stays idle until the server closes it.
        now = perf_counter()
        while self._idle and self._next < self._requests and (due := self.due(self._next)) <= now:
            self._next += 1
            self._idle.popleft().send(due)
