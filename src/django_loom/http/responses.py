"""Sending a response over ASGI."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from contextvars import copy_context
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from django_loom.exceptions import ClientDisconnected, ThreadsBusy

from .clean_context import await_in

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]

logger = logging.getLogger("django_loom")

# What a response has of ours: the async iterators that it was given, the first one first; and
# whom it has given which of them to read, as weak references.
ASYNC_ITERATORS = "_loom_async_iterators"
READERS = "_loom_readers"
# Of the loop, until a generator that nobody has is closed: a callback makes a task for that.
_TURNS_TO_CLOSE = 5
# Beyond this a body goes in parts, so that a slow client's server need not copy it whole.
CHUNK_BYTES = 2**18


def until_client_leaves(send: Send, at_the_end: Callable[[], object]) -> Send:
    """Tell a ``send()`` that fails because the client has left from errors of the view's own.

    Source: ASGI specification, "Disconnected Client - send exception".

    :param at_the_end: called before the last message is sent. With that, servers say
        ``http.disconnect``, some before ``send()`` returns, and no client may have left.
    """
    context = copy_context()

    async def checked(message: Message) -> None:
        try:
            if message["type"] == "http.response.start" or message.get("more_body"):
                await send(message)
            else:  # the end, with which the server may go on to the next request
                at_the_end()
                await await_in(context, _sent(message, send))
        except OSError as error:
            raise ClientDisconnected("the client left before it had the whole response") from error

    return checked


async def _sent(message: Message, send: Send) -> None:
    await send(message)


async def send_head(response: HttpResponseBase, send: Send) -> None:
    """Send the status and the headers, cookies among them."""
    headers = [
        (name.encode("ascii"), value.encode("latin1") if isinstance(value, str) else value)
        for name, value in response.items()
    ]
    for cookie in response.cookies.values():
        headers.append((b"Set-Cookie", cookie.OutputString().encode("ascii")))
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})


async def send_response(response: HttpResponse, send: Send, *, with_content: bool) -> None:
    """Send a response that has its content in memory; no content in answer to HEAD."""
    await send_head(response, send)
    content = response.content if with_content else b""
    if len(content) <= CHUNK_BYTES:
        await send({"type": "http.response.body", "body": content})
        return
    rest = memoryview(content)
    while rest:
        part, rest = rest[:CHUNK_BYTES], rest[CHUNK_BYTES:]
        message = {"type": "http.response.body", "body": bytes(part), "more_body": bool(rest)}
        await send(message)


async def send_parts(parts: AsyncIterator[bytes], send: Send) -> None:
    """Send a body part by part, each when the one before has gone."""
    async with aclosing(parts) as content:  # type: ignore[type-var]
        async for part in content:
            await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body"})


def iterators_closed(response: HttpResponseBase) -> AsyncExitStack:
    """Close, at the end of a block, each async iterator that a response was given.

    But for those that somebody else still reads, as middleware that fills a cache does.
    """
    # Middleware, as Django's for gzip, puts a generator around the view's → the client leaves,
    # and only the outer one is closed → the loop would close the view's when it finds it free,
    # after its unit, in another tenant's session → each is closed here, the outermost first.
    stack = AsyncExitStack()
    sent: Any = getattr(response, "_iterator", None)
    for iterator in getattr(response, ASYNC_ITERATORS, ()):
        if hasattr(iterator, "aclose"):
            if iterator is sent:
                stack.push_async_callback(sent.aclose)
            else:
                stack.push_async_callback(_close_if_read, response, iterator)
    return stack


async def _close_if_read(response: HttpResponseBase, iterator: Any) -> None:
    """Close an iterator when all who have read it have come to their end, and only then."""
    readers = [reader for of, reader in getattr(response, READERS, ()) if of is iterator]
    for _ in range(_TURNS_TO_CLOSE):
        if not any(map(_reads_still, readers)):
            break
        await asyncio.sleep(0)
    if readers and not any(map(_reads_still, readers)):
        await iterator.aclose()


def _reads_still(reader: Callable[[], Any]) -> bool:
    generator = reader()
    return generator is not None and generator.ag_frame is not None


def busy_response(request: HttpRequest, refusal: ThreadsBusy) -> HttpResponse:
    """Return the answer to a request for which there is no thread."""
    logger.warning("503 for %s: %s", request.path, refusal)
    return HttpResponse("Too many requests wait.", status=503, headers={"Retry-After": "1"})


async def send_no_content(send: Send) -> None:
    """Send the end of a response that has no body, as to a HEAD request."""
    await send({"type": "http.response.body"})
