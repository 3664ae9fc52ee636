"""The body of one request as it arrives, and word that the client has left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from django_loom.conf import LoomSettings
from django_loom.exceptions import (
    BodyInUse,
    BodyTimeout,
    BodyTooLarge,
    ClientDisconnected,
    LoomError,
)

from .clean_context import await_in

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]

logger = logging.getLogger("django_loom")

# A request that is answered within this time costs neither a task nor a second look at
# its connection; a client that leaves later than this is noticed at once.
WATCH_AFTER_SECONDS = 0.075


class RequestBody:
    """Receives the messages of one request: chunks of its body, then the disconnect.

    At any moment at most one party awaits ``receive()``. First that is whoever reads
    the body. Once the request has lasted a while it is the *watch*, a task, which
    notices that the client has left while nobody reads: it takes one chunk ahead of
    the reader and no second one, so a slow reader still slows the client down.
    """

    lasted = False  # longer than WATCH_AFTER_SECONDS

    def __init__(
        self, receive: Receive, settings: LoomSettings, on_disconnect: Callable[[], object]
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._context = copy_context()  # before anybody has put something of the request into it
        self.disconnected = False
        self.complete = False
        self.fault: LoomError | None = None
        self._failure: Exception | None = None
        self._receive = receive
        self._settings = settings
        self._on_disconnect = on_disconnect
        self._chunk = b""  # taken ahead by the watch
        self._received = 0  # bytes
        self._waited = 0.0  # seconds that readers have waited for the client
        self._reading = False
        self._watch: asyncio.Task[None] | None = None
        self._is_due = False
        self._is_open = True
        self._progress: asyncio.Future[None] | None = None  # of a reader, for the watch to end
        self._timer = self.loop.call_later(WATCH_AFTER_SECONDS, self._begin_watch)

    @property
    def holds_chunk(self) -> bool:
        """Whether the next chunk is here already."""
        return bool(self._chunk)

    async def read_chunk(self) -> bytes:
        """Return the next bytes of the body; none at its end.

        :raises BodyTooLarge: the body is longer than ``LOOM["MAX_BODY"]``.
        :raises BodyTimeout: it comes too slowly.
        :raises ClientDisconnected: the client has left; its request is cancelled.
        :raises BodyInUse: another task reads it at the same time.
        :raises ValueError: the request has ended.
        """
        try:
            while self._wants_more():
                if not self._is_open:
                    raise ValueError("The request body is closed: its request has ended.")
                await self._wait_for_message()
                if self.disconnected:
                    await asyncio.sleep(0)  # if it is the request's own task: cancelled here
                    raise ClientDisconnected("the client left before it had sent the whole body")
            if self.fault is not None:
                raise self.fault
            if self._failure is not None:
                raise self._failure
            chunk, self._chunk = self._chunk, b""
            return chunk
        finally:
            if self._is_due:
                self._begin_watch()

    def refuse_length(self, length: int) -> None:
        """Refuse a body, without reading it, that is announced as too long in bytes.

        :raises BodyTooLarge: ``length`` exceeds ``LOOM["MAX_BODY"]``.
        """
        limit = self._settings.MAX_BODY
        if limit is not None and length > limit:
            self.fault = BodyTooLarge(
                f"The request body exceeds LOOM['MAX_BODY'], {limit} bytes. Raise it in the "
                "settings if the site is meant to take such uploads."
            )
            raise self.fault

    def close(self) -> None:
        """End the watch: the response is sent, and the client free to go."""
        if not self._is_open:
            return
        self._is_open = False
        self._is_due = False
        self._timer.cancel()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None  # a task has us, and its cancellation the frames that have it

    def _wants_more(self) -> bool:
        failed = self.fault is not None or self._failure is not None
        return not (self._chunk or self.complete or failed)

    async def _wait_for_message(self) -> None:
        if self._reading:
            raise BodyInUse(
                "Another task is reading this request body, and would lose what you get of it. "
                "Read the body in one task, and hand its parts on from there."
            )
        granted = self._settings.BODY_TIMEOUT + self._received / self._settings.BODY_RATE
        started = self.loop.time()
        self._reading = True
        try:
            async with asyncio.timeout(granted - self._waited):
                if self._watch is None or self._watch.done():
                    await self._take_next()
                else:
                    self._progress = self.loop.create_future()
                    await self._progress
        except TimeoutError:
            self.fault = BodyTimeout(
                f"The request body came too slowly: {self._received} bytes in "
                f"{granted:.0f} s. LOOM['BODY_TIMEOUT'] and LOOM['BODY_RATE'] set the limit."
            )
            raise self.fault from None
        finally:
            self._reading = False
            self._waited += self.loop.time() - started

    async def _take_next(self) -> None:
        try:
            message = await await_in(self._context, self._next_message())
        except Exception as error:  # the server's own: whoever reads gets it, now or later
            self._failure = error
            logger.warning("The server's receive() failed", exc_info=True)
        else:
            self._take(message)

    async def _next_message(self) -> Message:
        return await self._receive()

    def _take(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            self._disconnect()
            return
        self.complete = not message.get("more_body", False)
        chunk = message.get("body", b"")
        self._received += len(chunk)
        with suppress(BodyTooLarge):  # read_chunk() raises it, to whoever reads
            self.refuse_length(self._received)
            self._chunk = chunk

    def _disconnect(self) -> None:
        if self._is_open and not self.disconnected:
            self.disconnected = True
            self._on_disconnect()

    def _begin_watch(self) -> None:
        self._is_due = self.lasted = True
        # A reader that is waiting sees the disconnect itself, and calls this when it is done.
        if self._reading or self._failure is not None:
            return
        if self._watch is None or self._watch.done():
            self._watch = self.loop.create_task(self._receive_ahead())

    async def _receive_ahead(self) -> None:
        try:
            while self._wants_more() and not self.disconnected:
                await self._take_next()
                self._wake_reader()
            if self.complete and not self.disconnected:
                await self._take_next()  # nothing but the disconnect can follow
        finally:
            self._wake_reader()

    def _wake_reader(self) -> None:
        if self._progress is not None and not self._progress.done():
            self._progress.set_result(None)
