"""The request body as the file that Django's request reads from."""

from __future__ import annotations

import asyncio
import threading
from asyncio import _get_running_loop
from io import BytesIO
from typing import NoReturn

from django_loom.bridge import await_
from django_loom.exceptions import BodyNotRead

from .body import RequestBody


class BodyStream:
    """Reads a body while it arrives, from code in a greenlet or in a thread.

    The client is slowed down by whoever reads slowly: of what was not asked for, one
    message of the server's is kept.
    """

    def __init__(self, body: RequestBody) -> None:
        self.body = body
        self.closed = False
        self._arrived = BytesIO()
        self._size = 0  # of what arrived, in bytes
        self._loop_thread = threading.get_ident()

    def read(self, size: int | None = -1) -> bytes:
        """Return ``size`` bytes, fewer only at the end; all that follow if negative or None.

        :raises BodyNotRead: called in a coroutine, which would block its event loop.
        :raises BodyTooLarge: the body is longer than ``LOOM["MAX_BODY"]``.
        :raises BodyTimeout: the body comes too slowly.
        :raises ClientDisconnected: the client has left.
        """
        wanted = size if size is not None and size >= 0 else None
        parts = []
        while (wanted is None or wanted > 0) and self._arrives():
            part = self._arrived.read(wanted)
            parts.append(part)
            if wanted is not None:
                wanted -= len(part)
        return b"".join(parts)

    def readline(self, size: int | None = -1) -> bytes:
        """Return the bytes up to and with the next newline, at most ``size`` of them."""
        wanted = size if size is not None and size >= 0 else None
        parts = [b""]
        while (wanted is None or wanted > 0) and not parts[-1].endswith(b"\n") and self._arrives():
            parts.append(self._arrived.readline(wanted))
            if wanted is not None:
                wanted -= len(parts[-1])
        return b"".join(parts)

    async def next_chunk(self) -> bytes:
        """Return what arrives next, in a coroutine; nothing at the end."""
        self._refuse_closed()
        return self._arrived.read() or await self.body.read_chunk()

    def seekable(self) -> bool:
        """Tell that what was read is gone; Django asks before it looks for the size."""
        return False

    def readable(self) -> bool:
        """Tell that the body can be read."""
        return True

    def close(self) -> None:
        """Read nothing any more."""
        self.closed = True
        self._arrived, self._size = BytesIO(), 0

    def refuse_in_coroutine(self) -> None:
        """Raise if the caller is a coroutine, and the body not yet here.

        :raises BodyNotRead: it says what to await.
        """
        if _get_running_loop() is not None and not (self.body.complete and not self._more()):
            _refuse()

    def _more(self) -> bool:
        return self._holds_more() or self.body.holds_chunk

    def _holds_more(self) -> bool:
        return self._arrived.tell() < self._size

    def _arrives(self) -> bool:
        """Wait until something is there to be read; tell if it is, at the end nothing."""
        self._refuse_closed()
        if self._holds_more():
            return True
        chunk = self._fetch()
        self._arrived, self._size = BytesIO(chunk), len(chunk)
        return bool(chunk)

    def _refuse_closed(self) -> None:
        if self.closed:
            raise ValueError("The request body is closed: its request has ended.")

    def _fetch(self) -> bytes:
        if self.body.complete and not self.body.holds_chunk and self.body.fault is None:
            return b""
        if _get_running_loop() is not None:
            _refuse()
        if threading.get_ident() == self._loop_thread:
            return await_(self.body.read_chunk())
        return asyncio.run_coroutine_threadsafe(self.body.read_chunk(), self.body.loop).result()


def _refuse() -> NoReturn:
    raise BodyNotRead(
        "The request body is not read yet, and reading it here would block the event loop. In a "
        "view with @streaming_body write `await request.aform()` before you use request.POST or "
        "request.FILES, `await request.aread()` in place of request.body, or "
        "`async for chunk in request.stream()`."
    )
