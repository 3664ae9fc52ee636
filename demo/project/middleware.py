"""The site's own middleware: one that is async and one that is synchronous."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from asgiref.sync import markcoroutinefunction
from django.http import HttpRequest, HttpResponse

POLICY = "; ".join(
    [
        "default-src 'self'",
        "img-src 'self' data:",  # Pico CSS draws its icons with data: addresses
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "object-src 'none'",
    ]
)


class ServerTiming:
    """Says how long the site took, where the browser's developer tools show it. Async."""

    async_capable = True
    sync_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], Awaitable[HttpResponse]]) -> None:
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        """Add the header Server-Timing, in milliseconds."""
        began = time.perf_counter()
        response = await self.get_response(request)
        milliseconds = (time.perf_counter() - began) * 1000
        response.headers["Server-Timing"] = f"site;dur={milliseconds:.1f}"
        return response


class ContentSecurityPolicy:
    """Lets pages load what comes from this site only, and nothing inline. Synchronous."""

    async_capable = False
    sync_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Add the policy, if the view has not set one of its own."""
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response
