"""The body of one request as it arrives, and word that the client has left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import copy_context
from enum import Enum
from typing import Any

from django_loom.exceptions import (
    BodyInUse,
    BodyTimeout,
    BodyTooLarge,
    ClientDisconnected,
    LoomError,
)

from .clean_context import await_in
from .conf import HttpSettings

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]

logger = logging.getLogger("django_loom")

# A request that is answered within this time costs neither a task nor a second look at
# its connection; a client that leaves later than this is noticed at once.
WATCH_AFTER_SECONDS = 0.075


class BodyState(Enum):
    """What has come of the body, and what will."""

    ARRIVING = "more of it is to come"
    COMPLETE = "the last of it is here"
    REFUSED = "it is too long, or came too slowly"
    FAILED = "the server could not receive it"
    CLOSED = "its request has ended before it had come"


class WatchState(Enum):
    """Whether word is wanted that the client has left."""

    NOT_YET = "the request is young, and may have its answer before anybody need watch"
    DUE = "the client is watched whenever nobody reads"
    OVER = "the answer is sent: the client may go"


class ReaderState(Enum):
    """What whoever reads the body does now."""

    ABSENT = "nobody waits for more of it"
    RECEIVING = "it awaits receive() itself"
    WAITING = "it waits for what the watch receives"


class RequestBody:
    """Receives the messages of one request: chunks of its body, then the disconnect.

    At any moment at most one party awaits ``receive()``. First that is whoever reads
    the body. Once the request has lasted a while it is the *watch*, a task, which
    notices that the client has left while nobody reads: it takes one chunk ahead of
    the reader and no second one, so a slow reader still slows the client down.
    """

    lasted = False  # longer than WATCH_AFTER_SECONDS

    def __init__(
        self, receive: Receive, settings: HttpSettings, on_disconnect: Callable[[], object]
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._context = copy_context()  # before anybody has put something of the request into it
        self.state = BodyState.ARRIVING
        self.disconnected = False
        self.fault: LoomError | None = None  # why it is refused
        self._failure: Exception | None = None
        self._receive = receive
        self._settings = settings
        self._on_disconnect = on_disconnect
        self._chunk = b""  # taken ahead by the watch
        self._received = 0  # bytes
        self._waited = 0.0  # seconds that readers have waited for the client
        self._reader = ReaderState.ABSENT
        self._watching = WatchState.NOT_YET
        self._watch: asyncio.Task[None] | None = None
        self._progress: asyncio.Future[None] | None = None  # of a reader, for the watch to end
        self._timer = self.loop.call_later(WATCH_AFTER_SECONDS, self._begin_watch)

    @property
    def complete(self) -> bool:
        """Whether all of it is here."""
        return self.state is BodyState.COMPLETE

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
                await self._wait_for_message()
                if self.disconnected:
                    await asyncio.sleep(0)  # if it is the request's own task: cancelled here
                    raise ClientDisconnected("the client left before it had sent the whole body")
            self._raise_what_is_wrong()
            chunk, self._chunk = self._chunk, b""
            return chunk
        finally:
            if self._watching is WatchState.DUE:
                self._begin_watch()

    def _raise_what_is_wrong(self) -> None:
        if self.fault is not None:
            raise self.fault
        if self._failure is not None:
            raise self._failure
        if self.state is BodyState.CLOSED and not self._chunk:
            raise ValueError(f"The request body can't be read any more: {self.state.value}.")

    def refuse_length(self, length: int) -> None:
        """Refuse a body, without reading it, that is announced as too long in bytes.

        :raises BodyTooLarge: ``length`` exceeds ``LOOM["MAX_BODY"]``.
        """
        limit = self._settings.MAX_BODY
        if limit is not None and length > limit:
            raise self._refused(
                BodyTooLarge(
                    f"The request body exceeds LOOM['MAX_BODY'], {limit} bytes. Raise it in the "
                    "settings if the site is meant to take such uploads."
                )
            )

    def close(self) -> None:
        """End the watch: the response is sent, and the client free to go."""
        if self._watching is WatchState.OVER:
            return
        self._watching = WatchState.OVER
        if self.state is BodyState.ARRIVING:
            self.state = BodyState.CLOSED
        self._timer.cancel()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None  # a task has us, and its cancellation the frames that have it

    def _wants_more(self) -> bool:
        return self.state is BodyState.ARRIVING and not self._chunk

    def _refused(self, fault: LoomError) -> LoomError:
        self.fault = fault
        self._go_wrong(BodyState.REFUSED)
        return fault

    def _go_wrong(self, state: BodyState) -> None:
        # Of one that is complete nothing but the disconnect can follow, which is still awaited.
        if self.state is not BodyState.COMPLETE:
            self.state = state

    async def _wait_for_message(self) -> None:
        if self._reader is not ReaderState.ABSENT:
            raise BodyInUse(
                "Another task is reading this request body, and would lose what you get of it. "
                "Read the body in one task, and hand its parts on from there."
            )
        granted = self._settings.BODY_TIMEOUT + self._received / self._settings.BODY_RATE
        started = self.loop.time()
        is_watched = self._watch is not None and not self._watch.done()
        self._reader = ReaderState.WAITING if is_watched else ReaderState.RECEIVING
        try:
            async with asyncio.timeout(granted - self._waited):
                if self._reader is ReaderState.RECEIVING:
                    await self._take_next()
                else:
                    self._progress = self.loop.create_future()
                    await self._progress
        except TimeoutError:
            raise self._refused(
                BodyTimeout(
                    f"The request body came too slowly: {self._received} bytes in "
                    f"{granted:.0f} s. LOOM['BODY_TIMEOUT'] and LOOM['BODY_RATE'] set the limit."
                )
            ) from None
        finally:
            self._reader = ReaderState.ABSENT
            self._waited += self.loop.time() - started

    async def _take_next(self) -> None:
        try:
            message = await await_in(self._context, self._next_message())
        except Exception as error:  # the server's own: whoever reads gets it, now or later
            self._failure = error
            self._go_wrong(BodyState.FAILED)
            logger.warning("The server's receive() failed", exc_info=True)
        else:
            self._take(message)

    async def _next_message(self) -> Message:
        return await self._receive()

    def _take(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            self._disconnect()
            return
        if not message.get("more_body", False):
            self.state = BodyState.COMPLETE
        chunk = message.get("body", b"")
        self._received += len(chunk)
        with suppress(BodyTooLarge):  # read_chunk() raises it, to whoever reads
            self.refuse_length(self._received)
            self._chunk = chunk

    def _disconnect(self) -> None:
        if self._watching is not WatchState.OVER and not self.disconnected:
            self.disconnected = True
            self._on_disconnect()

    def _begin_watch(self) -> None:
        self._watching, self.lasted = WatchState.DUE, True
        # A reader that is waiting sees the disconnect itself, and calls this when it is done.
        if self._reader is not ReaderState.ABSENT or self._failure is not None:
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
