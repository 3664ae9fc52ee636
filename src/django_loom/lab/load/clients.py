"""The clients of a load, and the timeout of their requests."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from time import perf_counter

from django_loom.lab.load.connection import Connection
from django_loom.lab.load.plan import LoadPlan
from django_loom.lab.load.recorder import Recorder
from django_loom.lab.load.responses import Response

PAUSE_AFTER_FAILURE = 0.05  # seconds: a server that refuses is not asked in a tight loop


class Crowd:
    """What the clients of one load share.

    `on_idle` is called with each client that is ready to send.
    """

    def __init__(self, plan: LoadPlan, address: tuple[str, int]) -> None:
        self.loop = asyncio.get_running_loop()
        self.recorder = Recorder()
        self.request = plan.request()
        self.on_idle: Callable[[Client], None] = park
        self.under_way: dict[Client, float] = {}  # when each was sent, oldest first
        self.clients = [Client(self) for _ in range(plan.clients)]
        self._plan = plan
        self._address = address

    async def connection(self, client: Client) -> Connection:
        _, connection = await self.loop.create_connection(
            lambda: Connection(client, self._plan.keep_alive, self._plan.method == "HEAD"),
            *self._address,
        )
        return connection

    async def end_late_requests(self) -> None:
        """End each request that takes longer than the timeout, until cancelled."""
        timeout = self._plan.timeout
        while True:
            await asyncio.sleep(min(timeout / 10, 0.1))
            now = perf_counter()
            late = []
            for client, sent in self.under_way.items():
                if now - sent < timeout:
                    break  # those after it were sent later
                late.append(client)
            for client in late:
                client.failed("timeout")

    async def close(self) -> None:
        """End everything that is under way, and every connection."""
        self.on_idle = park
        tasks = [task for client in self.clients if (task := client.close())]
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the loop closes the sockets in its next round


def park(client: Client) -> None:
    """Let a client do nothing more."""


class Client:
    """Sends a request, waits for its answer, and says that it is idle again."""

    __slots__ = ("_connecting", "_connection", "_crowd", "_due", "_pause")

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._due = 0.0

    def send(self, due: float | None = None) -> None:
        """Send the request that was due then (perf_counter() seconds), or is now."""
        crowd = self._crowd
        now = perf_counter()
        self._due = now if due is None else due
        crowd.under_way[self] = now
        crowd.recorder.count_sent(self._due)
        if self._connection is not None and self._connection.usable:
            self._connection.send(crowd.request)
        else:
            self._connecting = crowd.loop.create_task(self._connect_and_send())

    @property
    def connected(self) -> bool:
        """Whether the next request can be sent without opening a connection."""
        return self._connection is not None and self._connection.usable

    async def connect(self) -> None:
        """Open a connection ahead of the next request; raises `OSError`."""
        self._connection = await self._crowd.connection(self)

    def answered(self, response: Response) -> None:
        crowd = self._crowd
        del crowd.under_way[self]
        crowd.recorder.count_answer(self._due, response)
        crowd.on_idle(self)

    def failed(self, kind: str) -> None:
        """Give up the request that is under way."""
        crowd = self._crowd
        del crowd.under_way[self]
        self.close()
        crowd.recorder.count_failure(self._due, kind)
        self._pause = crowd.loop.call_later(PAUSE_AFTER_FAILURE, self._resume)

    def close(self) -> asyncio.Task[None] | None:
        """End the connection; returns the task that was opening one, cancelled."""
        if self._pause is not None:
            self._pause.cancel()
        if self._connection is not None:
            self._connection.abort()
            self._connection = None
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
        return connecting

    def _resume(self) -> None:
        self._crowd.on_idle(self)

    async def _connect_and_send(self) -> None:
        try:
            await self.connect()
        except OSError as error:
            self._connecting = None
            self.failed(connect_error(error))
        else:
            self._connecting = None
            assert self._connection is not None
            self._connection.send(self._crowd.request)


def connect_error(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return f"connect: {os.strerror(error.errno)}" if error.errno else "connect"
