"""Requests through the real application, whose clients leave at any moment, or read all."""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.fuzz.site import URLS
from benchmarks.fuzz.worker import Operation, Worker
from tests.http.asgi import Connection, Message, end, scope_of


class Client(Connection):
    """Leaves when it has got some messages; `leaves_after` is None if it reads all."""

    def __init__(self, leaves_after: int | None) -> None:
        super().__init__(end())
        self.leaves_after = leaves_after

    async def send(self, message: Message) -> None:
        await super().send(message)
        if len(self.sent) == self.leaves_after:
            self.leave()
        await asyncio.sleep(0)


async def _ended(worker: Worker, serving: asyncio.Task[Any], client: Client) -> None:
    """Await a request; if we are cancelled, its client leaves, or its server stops."""
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        if worker.random.random() < 0.5:
            client.leave()
        else:
            serving.cancel()
        await asyncio.wait([serving])
        raise


async def request(worker: Worker) -> None:
    leaves_after = worker.random.choice([None, None, 1, 2, 3, 4])
    client = Client(leaves_after)
    scope = scope_of("GET", worker.random.choice(URLS), worker=worker)
    scope["number"] = worker.ledger.begin(4)
    serving = asyncio.create_task(worker.application(scope, client.receive, client.send))
    await _ended(worker, serving, client)
    if leaves_after is None and not client.complete:
        worker.violated(f"no complete answer: {client.sent}")
    if client.sent:
        worker.require(client.status, 200)


async def impatient_request(worker: Worker) -> None:
    """The client leaves after some time, whatever it has got."""
    client = Client(None)
    scope = scope_of("GET", worker.random.choice(URLS), worker=worker)
    scope["number"] = worker.ledger.begin(4)
    serving = asyncio.create_task(worker.application(scope, client.receive, client.send))
    leaving = asyncio.get_running_loop().call_later(worker.random.random() / 50, client.leave)
    try:
        await _ended(worker, serving, client)
    finally:
        leaving.cancel()
    if client.sent:
        worker.require(client.status, 200)


OPERATIONS: list[Operation] = [request, request, request, impatient_request]
