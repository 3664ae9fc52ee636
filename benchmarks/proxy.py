"""Adds latency between a client and PostgreSQL: a process of its own, on the database's core.

A proxy rather than `pg_sleep()`, because the statements then stay byte for byte what each
contender sends, and because every round trip pays: a contender that wraps a read in BEGIN and
ROLLBACK pays three times, as it does over a real network.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from benchmarks.database import Target
from benchmarks.harness import ROOT, cores, pin


class Upstream(asyncio.Protocol):
    """From the server to the client, at once."""

    def __init__(self, client: asyncio.Transport) -> None:
        self.client = client

    def data_received(self, data: bytes) -> None:
        self.client.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.client.close()


class Downstream(asyncio.Protocol):
    """From the client to the server, `delay` seconds late and in order."""

    client: asyncio.Transport
    server: asyncio.Transport

    def __init__(self, target: Target, delay: float) -> None:
        self.target = target
        self.delay = delay
        self.late: deque[bytes] = deque()

    def connection_made(self, transport: Any) -> None:
        self.client = transport  # read from once there is somewhere to write to
        transport.pause_reading()
        self.connecting = asyncio.ensure_future(self._connect())

    async def _connect(self) -> None:
        self.server, _ = await asyncio.get_running_loop().create_connection(
            lambda: Upstream(self.client), self.target.host, self.target.port
        )
        self.client.resume_reading()

    def data_received(self, data: bytes) -> None:
        self.late.append(data)
        asyncio.get_running_loop().call_later(self.delay, self._forward)

    def _forward(self) -> None:
        # The oldest, whichever timer fired: two timers due at one instant may swap.
        self.server.write(self.late.popleft())

    def connection_lost(self, exc: Exception | None) -> None:
        # After what is still on its way, a goodbye or a cancellation, has arrived.
        asyncio.get_running_loop().call_later(self.delay, self._close)

    def _close(self) -> None:
        if self.connecting.done() and not self.connecting.exception():
            self.server.close()


async def serve(target: Target, delay: float) -> None:
    """Forward until stdin closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Downstream(target, delay), "127.0.0.1", 0, backlog=256
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


@contextmanager
def delayed(target: Target, milliseconds: float) -> Iterator[Target]:
    """The same database, that much further away."""
    if not milliseconds:
        yield target
        return
    chosen = cores()
    spec = {
        "target": vars(target),
        "delay": milliseconds / 1000,
        "core": chosen[1] if chosen else None,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.proxy", json.dumps(spec)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    try:
        yield replace(target, host="127.0.0.1", port=int(process.stdout.readline()))
    finally:
        process.communicate(timeout=10)


def main() -> None:
    spec = json.loads(sys.argv[1])
    pin(spec["core"])
    asyncio.run(serve(Target(**spec["target"]), spec["delay"]))


if __name__ == "__main__":
    main()
