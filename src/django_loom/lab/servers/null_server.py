"""A server that answers at once, or after a wait, and does nothing else.

`python -m django_loom.lab.servers.null_server [SECONDS]` prints `port` and its number. It reads a
request no further than to its connection header, so it serves our generator and nothing else.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

from django_loom.lab.processes.loops import run

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
LAST_ANSWER = ANSWER.replace(b"\r\nContent-Length", b"\r\nConnection: close\r\nContent-Length")
BACKLOG = 4096


class NullServer(asyncio.Protocol):
    """Answers each request so many seconds after it came."""

    def __init__(self, wait: float) -> None:
        self._wait = wait

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is no subclass

    def data_received(self, data: bytes) -> None:
        close = b"Connection: close" in data
        if self._wait:
            asyncio.get_running_loop().call_later(self._wait, self._answer, close)
        else:
            self._answer(close)

    def _answer(self, close: bool) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(LAST_ANSWER if close else ANSWER)
        if close:
            self._transport.close()


async def serve(wait: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: NullServer(wait), "127.0.0.1", 0, backlog=BACKLOG)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    run(serve(float(sys.argv[1]) if sys.argv[1:] else 0.0))
