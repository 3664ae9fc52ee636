"""Adds latency between a client and a database: a process of its own.

`python -m django_loom.lab.servers.latency_proxy HOST PORT MILLISECONDS` prints its port, and ends
when its standard input does. A HOST that is a path is the directory of a Unix socket, as libpq has
it.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django_loom.lab.exceptions import ServerError

COMMAND = (sys.executable, "-m", "django_loom.lab.servers.latency_proxy")
BACKLOG = 256


class Upstream(asyncio.Protocol):
    """From the database to the client, at once."""

    def __init__(self, client: asyncio.Transport) -> None:
        self._client = client

    def data_received(self, data: bytes) -> None:
        self._client.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.close()


class Downstream(asyncio.Protocol):
    """From the client to the database, `delay` seconds late and in order."""

    def __init__(self, host: str, port: int, delay: float) -> None:
        self._address = host, port
        self._delay = delay
        self._late: deque[bytes] = deque()
        self._database: asyncio.WriteTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self._client = transport
        transport.pause_reading()  # until there is somewhere to write to
        self._connecting = asyncio.ensure_future(self._connect())

    async def _connect(self) -> None:
        loop, (host, port) = asyncio.get_running_loop(), self._address
        try:
            if host.startswith("/"):
                path = f"{host}/.s.PGSQL.{port}"
                self._database, _ = await loop.create_unix_connection(self._upstream, path)
            else:
                self._database, _ = await loop.create_connection(self._upstream, host, port)
        except OSError:
            self._client.close()
        else:
            self._client.resume_reading()

    def _upstream(self) -> Upstream:
        return Upstream(self._client)

    def data_received(self, data: bytes) -> None:
        self._late.append(data)
        asyncio.get_running_loop().call_later(self._delay, self._forward)

    def _forward(self) -> None:
        # The oldest, whichever timer fired: two timers due at one instant may swap.
        if self._database:
            self._database.write(self._late.popleft())

    def connection_lost(self, exc: Exception | None) -> None:
        # After what is still on its way, a goodbye or a cancellation, has arrived.
        asyncio.get_running_loop().call_later(self._delay, self._close)

    def _close(self) -> None:
        self._connecting.cancel()
        if self._database:
            self._database.close()


@contextmanager
def delayed(host: str, port: int, milliseconds: float) -> Iterator[int]:
    """A port on 127.0.0.1 from which the address is that much further away.

    Raises `ServerError` if the proxy does not start.
    """
    process = subprocess.Popen(
        [*COMMAND, host, str(port), str(milliseconds)],
        stdin=subprocess.PIPE,  # its end ends the proxy, however this process ends
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        listening = process.stdout.readline().strip()
        if not listening:
            raise ServerError("the proxy that adds latency did not start")
        yield int(listening)
    finally:
        process.kill()
        process.communicate()


async def serve(host: str, port: int, delay: float) -> None:
    """Forward until the standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Downstream(host, port, delay), "127.0.0.1", 0, backlog=BACKLOG
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 1000))
