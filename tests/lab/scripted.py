"""A server on loopback that answers as a test's script says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.polling import aeventually

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"

# Gets the number of a request (from 0, over all connections) and what to answer through. The
# connection is closed when it returns false.
Script = Callable[[int, asyncio.StreamWriter], Awaitable[bool]]


class Scripted:
    """Counts what it got."""

    def __init__(self, script: Script) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.open = 0
        self.url = ""
        self._script = script

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            goes_on = True
            while goes_on:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                goes_on = await self._script(len(self.requests) - 1, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.open -= 1


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[Scripted]:
    """Serve while the block runs; then wait until the clients have closed all connections."""
    scripted = Scripted(script)
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    async with server:
        scripted.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        yield scripted
        await aeventually(lambda: not scripted.open)


def answers(*responses: bytes) -> Script:
    """A script that gives these responses by turns."""

    async def script(number: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(responses[number % len(responses)])
        return True

    return script
