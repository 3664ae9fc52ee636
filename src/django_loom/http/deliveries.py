"""How an answer goes out that is still to be made when its view has ended.

Each kind of content has its own delivery. The handler picks one, and knows no more of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from django_loom.bridge import run_sync

from .files import FilePart, send_file
from .placement import runs_in_thread
from .requests import LoomRequest
from .responses import Send, iterators_closed, send_head, send_no_content, send_parts
from .streams import SyncStreams

Scope = dict[str, Any]
# What middleware and view have made of a request: that, None where the head was none; the
# response; and what part of its file is to be sent, if it is one.
Answer = tuple[LoomRequest | None, Any, FilePart | None]


class Delivery(Protocol):
    """Makes and sends the content of one answer."""

    async def send(self, send: Send) -> None:
        """Send the answer, and close it, however the sending ends."""


class HeadDelivery:
    """The answer to HEAD: there is no content to make."""

    def __init__(self, response: Any, at_the_end: Callable[[], object]) -> None:
        """Make a delivery.

        :param at_the_end: called when all is sent, or no more will be, before the response is
            closed.
        """
        self.response = response
        self._at_the_end = at_the_end

    async def send(self, send: Send) -> None:
        """Send head and content, and close the response in a greenlet."""
        try:
            async with iterators_closed(self.response):
                await send_head(self.response, send)
                await self.send_content(send)
        finally:
            self._at_the_end()
            await run_sync(self.response.close)

    async def send_content(self, send: Send) -> None:
        """Send what follows the head, to its end."""
        await send_no_content(send)


class AsyncDelivery(HeadDelivery):
    """What an async iterator gives, in the coroutine that sends it."""

    async def send_content(self, send: Send) -> None:
        """Send part by part."""
        await send_parts(self.response.streaming_content, send)


class FileDelivery(HeadDelivery):
    """A part of a file: its bytes, or its path to a server that reads it itself."""

    def __init__(
        self, response: Any, at_the_end: Callable[[], object], part: FilePart, scope: Scope
    ) -> None:
        super().__init__(response, at_the_end)
        self._part = part
        self._pathsend = "http.response.pathsend" in (scope.get("extensions") or ())

    async def send_content(self, send: Send) -> None:
        """Send block by block, each read in a thread."""
        await send_file(self._part, send, pathsend=self._pathsend)


class FlowDelivery:
    """What a synchronous iterator makes, in a flow of its own, where its view belongs."""

    def __init__(
        self,
        request: LoomRequest,
        response: Any,
        at_the_end: Callable[[], object],
        streams: SyncStreams,
    ) -> None:
        self.request, self.response = request, response
        self._at_the_end = at_the_end
        self._streams = streams

    async def send(self, send: Send) -> None:
        """Let the flow make the parts, and send each."""
        match = self.request.resolver_match
        await self._streams.send(
            self.request,
            self.response,
            send,
            in_thread=match is None or runs_in_thread(match.func),
            at_the_end=self._at_the_end,
        )


def pick_delivery(
    request: LoomRequest,
    response: Any,
    part: FilePart | None,
    scope: Scope,
    at_the_end: Callable[[], object],
    streams: SyncStreams,
) -> Delivery:
    """Return how an answer goes out whose content is not there as a whole."""
    if part is None and not response.is_async:
        return FlowDelivery(request, response, at_the_end, streams)
    if scope["method"] == "HEAD":
        return HeadDelivery(response, at_the_end)
    if part is not None:
        return FileDelivery(response, at_the_end, part, scope)
    return AsyncDelivery(response, at_the_end)
