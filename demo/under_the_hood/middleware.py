"""The middleware that records each request, for the page "Under the hood"."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

from .recorder import keep, recording
from .records import Record


@sync_and_async_middleware
def record_requests(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Record each request, in whichever way its neighbours in the chain are called."""
    if iscoroutinefunction(get_response):

        async def async_middleware(request: HttpRequest) -> HttpResponse:
            with _recorded(request) as record:
                response: HttpResponse = await get_response(request)
                record.finish(response.status_code, streaming=response.streaming)
            return response

        return async_middleware

    def middleware(request: HttpRequest) -> HttpResponse:
        with _recorded(request) as record:
            response: HttpResponse = get_response(request)
            record.finish(response.status_code, streaming=response.streaming)
        return response

    return middleware


@contextmanager
def _recorded(request: HttpRequest) -> Iterator[Record]:
    with recording(request.method or "", request.path) as record:
        try:
            yield record
        finally:
            keep(record, request.resolver_match and request.resolver_match.func)
