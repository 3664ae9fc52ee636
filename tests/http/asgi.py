"""The server's side of one request, in the hands of a test."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any

from django_loom.asgi import get_asgi_application

Message = dict[str, Any]

LEFT = {"type": "http.disconnect"}


def chunk(content: bytes, *, more: bool = True) -> Message:
    """A piece of the body, the last one unless there is more."""
    return {"type": "http.request", "body": content, "more_body": more}


def end(content: bytes = b"") -> Message:
    return chunk(content, more=False)


class Connection:
    """Gives messages when told to, and notes what the application does.

    As with uvicorn, ``receive()`` tells of a disconnect as soon as the response is complete.
    """

    def __init__(self, *messages: Message) -> None:
        self.messages = deque(messages)
        self.taken: list[Message] = []
        self.sent: list[Message] = []
        self.receiving = False
        self.overlaps = 0
        self.complete = False
        self._changed = asyncio.Event()

    def give(self, *messages: Message) -> None:
        self.messages += messages
        self._change()

    def leave(self) -> None:
        self.give(LEFT)

    async def receive(self) -> Message:
        self.overlaps += self.receiving
        self.receiving = True
        self._change()
        try:
            await self.until(lambda: self.messages or self.complete)
        finally:
            self.receiving = False
        message = self.messages[0] if self.messages else LEFT
        if message["type"] != "http.disconnect":
            self.messages.popleft()
        self.taken.append(message)
        self._change()
        return message

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self.complete = True
        self._change()

    async def until(self, condition: Any) -> None:
        """Return when the condition holds; it is looked at when something was given or done."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [(name.decode().lower(), value.decode()) for name, value in self.sent[0]["headers"]]

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name)

    @property
    def parts(self) -> list[bytes]:
        return [message.get("body", b"") for message in self.sent[1:]]

    @property
    def content(self) -> bytes:
        return b"".join(self.parts)


def scope_of(
    method: str, url: str, headers: Iterable[tuple[str, str]] = (), **other: Any
) -> dict[str, Any]:
    path, _, query = url.partition("?")
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(b"host", b"testserver")]
        + [(name.encode(), value.encode()) for name, value in headers],
        **other,
    }


def start(
    connection: Connection,
    method: str,
    url: str,
    headers: Iterable[tuple[str, str]] = (),
    application: Any = None,
    **other: Any,
) -> asyncio.Task[None]:
    """The task that serves a request, as a server has one for each."""
    serve = application or get_asgi_application()
    scope = scope_of(method, url, headers, **other)
    return asyncio.create_task(serve(scope, connection.receive, connection.send))


async def request(
    method: str,
    url: str,
    body: Iterable[bytes] = (),
    headers: Iterable[tuple[str, str]] = (),
    application: Any = None,
    **other: Any,
) -> Connection:
    """Send a request, in pieces if it has a body, and wait for the end of its response."""
    pieces = list(body)
    connection = Connection(*map(chunk, pieces[:-1]), end(*pieces[-1:]))
    await start(connection, method, url, headers, application, **other)
    assert connection.overlaps == 0
    return connection


async def get(url: str, **options: Any) -> Connection:
    return await request("GET", url, **options)


async def post(url: str, *body: bytes, content_type: str, **options: Any) -> Connection:
    """Post a body with its length announced."""
    headers = [("content-type", content_type), ("content-length", str(sum(map(len, body))))]
    return await request("POST", url, body, [*headers, *options.pop("headers", ())], **options)
