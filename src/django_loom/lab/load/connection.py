"""A client's connection: one HTTP/1.1 request at a time, with or without keep-alive."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from django_loom.lab.exceptions import ResponseError
from django_loom.lab.load.responses import Response


class Owner(Protocol):
    """Who sends the requests; hears exactly one of these for each request sent."""

    def answered(self, response: Response) -> None: ...

    def failed(self, kind: str) -> None: ...


class Connection(asyncio.Protocol):
    """Hands each whole response, or the reason why there is none, to its owner."""

    __slots__ = ("_keep_alive", "_owner", "_response", "_transport", "_waiting")

    _transport: asyncio.Transport

    def __init__(self, owner: Owner, keep_alive: bool = True, head_only: bool = False) -> None:
        self._owner = owner
        self._keep_alive = keep_alive
        self._response = Response(head_only)
        self._waiting = False

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return not self._transport.is_closing()

    def send(self, request: bytes) -> None:
        """Send a request; not while an answer is awaited."""
        self._waiting = True
        self._response.reset()
        self._transport.write(request)

    def abort(self) -> None:
        """Close the connection at once; its owner hears nothing more."""
        self._waiting = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is no subclass

    def data_received(self, data: bytes) -> None:
        if not self._waiting:
            self.abort()  # an answer to nothing, such as a 408 before the server closes
            return
        try:
            whole = self._response.feed(data)
        except ResponseError:
            self._fail("malformed")
            return
        if whole:
            self._answer()

    def eof_received(self) -> None:
        self._end("closed")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("reset" if exc else "closed")

    def _end(self, kind: str) -> None:
        if not self._waiting:
            return
        if self._response.close():
            self._answer()
        else:
            self._fail(kind)

    def _answer(self) -> None:
        self._waiting = False
        if not (self._keep_alive and self._response.keep_alive):
            self._transport.close()
        self._owner.answered(self._response)

    def _fail(self, kind: str) -> None:
        self.abort()
        self._owner.failed(kind)
