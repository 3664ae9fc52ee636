"""A browser in the test's own process: each request runs as a server would run it, in a task."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import unquote

from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

Form = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]  # by their names in lower case
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Browser:
    """Sends requests to an ASGI application, keeps its cookies, proves with them that it may."""

    def __init__(self, application: Any, *, in_task: bool = True) -> None:
        self.application = application
        self.in_task = in_task
        self.cookies = SimpleCookie()

    async def get(self, url: str, **headers: str) -> Answer:
        return await self.send("GET", url, headers=headers)

    async def post(self, url: str, form: Form | None = None, **headers: str) -> Answer:
        """Send a form, its files among it."""
        body = encode_multipart(BOUNDARY, dict(form or {}))
        return await self.send("POST", url, body, MULTIPART_CONTENT, headers)

    async def send(
        self,
        method: str,
        url: str,
        body: bytes = b"",
        content_type: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        path, _, query = url.partition("?")
        named = {
            "host": "testserver",
            "cookie": "; ".join(f"{name}={each.value}" for name, each in self.cookies.items()),
            "content-type": content_type,
            "content-length": str(len(body)) if body else "",
            "x-csrftoken": self.cookies["csrftoken"].value if "csrftoken" in self.cookies else "",
            **{name.replace("_", "-"): value for name, value in (headers or {}).items()},
        }
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in named.items() if value],
        }
        exchange = self._exchange(scope, body)
        return await (asyncio.create_task(exchange) if self.in_task else exchange)

    async def _exchange(self, scope: dict[str, Any], body: bytes) -> Answer:
        messages = [{"type": "http.request", "body": body}]
        start: dict[str, Any] = {}
        content = b""

        async def receive() -> dict[str, Any]:
            if not messages:
                await asyncio.Event().wait()  # the client stays
            return messages.pop()

        async def send(message: dict[str, Any]) -> None:
            nonlocal content
            if message["type"] == "http.response.start":
                start.update(message)
            content += message.get("body", b"")

        await self.application(scope, receive, send)
        headers = [(name.decode().lower(), value.decode()) for name, value in start["headers"]]
        for name, value in headers:
            if name == "set-cookie":
                self.cookies.load(value)
        return Answer(start["status"], dict(headers), content)
