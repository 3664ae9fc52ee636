"""uvicorn's HTTP protocol, with limits for the head of a request: a time and a size.

uvicorn has a timeout for connections that are kept alive only: a client may open
one and send nothing, or a byte now and then, for ever. And httptools keeps any
number of headers.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Bytes of a head that are waited for. What comes in one piece may be larger, as the
# piece is parsed at once; it has what a transport reads at once, 256 KiB.
MAX_HEAD = 64 * 1024

# RFC 6585, section 5.
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class LimitedProtocol(HttpToolsProtocol):
    """Closes a connection whose client takes too long for a request's head, or too much.

    The time, ``config.head_timeout`` in seconds, begins with the connection, or with
    the first byte that comes after a response. While a response is on its way no time
    is counted: the client may be busy reading.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config: Any = self.config
        self._head_timeout: float = config.head_timeout
        self._head_timer: asyncio.TimerHandle | None = None
        self._part: Literal["none", "head", "body"] = "none"
        self._head_began = False
        self._head_size = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        if self.server is not None and self.server[1] is None:
            # A Unix socket: its client has no address, and is on this machine. As if it came
            # by TCP, Django gets a REMOTE_ADDR, and uvicorn heeds the headers of a proxy.
            self.client = "127.0.0.1", 0
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Handle what came, and wait for the rest of a head."""
        self._head_began = False
        super().data_received(data)
        if self._part == "head" and not self._head_began:
            self._head_size += len(data)
            if self._head_size > MAX_HEAD:
                self._refuse()
        if self._part == "body" or self._head_timer is not None or self._responds():
            return
        if self.transport.get_protocol() is self:  # else it was upgraded
            self._start_timer()

    def on_message_begin(self) -> None:
        """Note a request's first byte."""
        self._part, self._head_began, self._head_size = "head", True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that the head is there."""
        self._part = "body"
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that what comes now is another request."""
        self._part = "none"
        super().on_message_complete()

    def _responds(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self) -> None:
        if not self._responds():
            self.transport.write(_TOO_LARGE)
        self.transport.close()

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(self._head_timeout, self.transport.close)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
