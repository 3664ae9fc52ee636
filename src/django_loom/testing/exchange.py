"""One request to an ASGI application and its response, seen from the client's side."""

from __future__ import annotations

import asyncio
import copy
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

Message = dict[str, Any]
Application = Callable[..., Awaitable[None]]


class Exchange:
    """A client that sends one request, and takes the parts of a stream when they are asked for.

    Like a slow client, it lets a stream wait until the part before was taken.
    """

    def __init__(self, body: bytes) -> None:
        self.request: Any = None
        self._response: Any = None
        self._body: bytes | None = body
        self._part = b""  # of a stream, for whoever iterates
        self._has_come = asyncio.Event()
        self._is_wanted = asyncio.Event()
        self._has_head = asyncio.Event()
        self._has_left = asyncio.Event()
        self._task: asyncio.Task[None]

    def answered(self, request: Any, response: Any) -> None:
        """Take over what the application has made; called by it, before it sends."""
        self.request, self._response = request, response

    async def begin(self, application: Application, scope: dict[str, Any]) -> None:
        """Serve the request in a task of its own, until there is a response.

        :raises BaseException: what the application raises.
        """
        self._task = asyncio.ensure_future(application(scope, self._receive, self._send))
        self._task.add_done_callback(self._ended)
        try:
            await self._has_head.wait()
            if self._task.done() or not self._response.streaming:
                await self._task
        except BaseException:
            self._task.cancel()  # whoever asked is cancelled
            raise

    def client_response(self) -> Any:
        """Return the response; that of a stream gets its parts from here."""
        response = self._response
        if not response.streaming:
            return response
        # The application still uses the view's own, and closes it.
        response = copy.copy(response)
        response._resource_closers = []
        response.streaming_content = self._iterate()
        response.leave = self.leave
        # A stream that nobody reads to its end would wait for ever, in the test's transaction.
        # Not cancelled, which would break that off with a query that is under way.
        weakref.finalize(response, self._leave_later, asyncio.get_running_loop())
        return response

    async def leave(self) -> None:
        """Be a client that goes away; return when the application has ended the stream."""
        self._go_away()
        if not self._task.done():
            await asyncio.wait([self._task])

    def _leave_later(self, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._go_away)

    def _go_away(self) -> None:
        self._has_left.set()
        self._is_wanted.set()

    async def _iterate(self) -> AsyncIterator[bytes]:
        try:
            while True:
                if not self._task.done():
                    await self._has_come.wait()
                part, self._part = self._part, b""
                if not part:
                    break
                yield part
                self._has_come.clear()
                self._is_wanted.set()
            await self._task
        finally:
            await self.leave()

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._has_left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._has_left.is_set():
            raise OSError("the client has left")
        if message["type"] == "http.response.start":
            self._has_head.set()
        elif self._response.streaming and message.get("body"):
            self._part = message["body"]
            self._is_wanted.clear()
            self._has_come.set()
            await self._is_wanted.wait()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._has_head.set()
        self._has_come.set()
