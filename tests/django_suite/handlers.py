"""Our handler in place of Django's: what a child of modes (d) and (e) rebinds.

Both test clients take our chain of middleware, and ``get_asgi_application`` and ``ASGIHandler``
are ours wherever a test imports them.
"""

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from functools import cache
from typing import Any

import django.contrib.staticfiles.handlers  # noqa: F401 - its base class stays Django's
from django.core import asgi
from django.core.handlers import asgi as asgi_handlers
from django.core.handlers.asgi import ASGIRequest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import client
from django.test.client import FakePayload, conditional_content_removal

import django_loom.asgi
from django_loom import run_sync
from django_loom.conf import read
from django_loom.http import handler
from django_loom.http.body import Message, RequestBody
from django_loom.http.conf import HttpSettings
from django_loom.http.files import prepare_file
from django_loom.http.hooks import DatabaseHooks
from django_loom.http.requests import LoomRequest
from django_loom.http.view_threads import ViewThreads

HOOKS = DatabaseHooks(
    django_loom.asgi._atomic,
    django_loom.asgi._thread_leases,
    django_loom.asgi._before_wait,
    django_loom.asgi._pools,
)
CHUNK_BYTES = 2**16
# Each test has a client with a handler of its own; a process has the threads of one application.
view_threads = cache(ViewThreads)


def install() -> None:
    """Rebind the names. Modules of Django's tests must not be imported yet."""
    handler.ViewThreads = view_threads
    client.ClientHandler = SyncClientHandler
    client.AsyncClientHandler = AsyncClientHandler
    asgi_handlers.ASGIHandler = Handler
    asgi_handlers.ASGIRequest = Request
    asgi.get_asgi_application = Handler


def served() -> dict[str, int]:
    """Return how many requests our handler has answered, and how many calls threads took."""
    settings = read(HttpSettings)
    threads = view_threads(settings.THREADS, settings.THREAD_QUEUE, HOOKS.thread_leases)
    return {"requests": Handler.requests, "in threads": threads.statistics().uses}


class Request(LoomRequest):
    """Can be made of a file, too: of some requests in Django's tests no handler knows."""

    def __init__(self, scope: dict[str, Any], body: Any) -> None:
        if isinstance(body, RequestBody):
            super().__init__(scope, body)
        else:
            ASGIRequest.__init__(self, scope, body)


class Handler(handler.LoomHandler):
    """Is made without arguments, as Django's handler is, and counts."""

    request_class = Request
    requests = 0

    def __init__(self) -> None:
        super().__init__(HOOKS)

    def get_response(self, request: Any) -> Any:
        Handler.requests += 1
        return super().get_response(request)


class ClientHandler(Handler):
    """What the clients' handlers have in common: middleware is loaded with the first request."""

    _is_made = False

    def __init__(self, enforce_csrf_checks: bool = True) -> None:
        self.enforce_csrf_checks = enforce_csrf_checks
        super().__init__()
        self._is_made = True

    def load_middleware(self, is_async: bool = False) -> None:
        if self._is_made:
            super().load_middleware()


class SyncClientHandler(ClientHandler):
    """A request begins and ends as in Django; from middleware to view it is on a loop."""

    __call__ = client.ClientHandler.__call__

    def get_response(self, request: Any) -> Any:
        return on_new_loop(super().get_response, request)


class AsyncClientHandler(ClientHandler):
    """A request goes the whole way of ours, with a body that arrives; it ends as in Django."""

    async def __call__(self, scope: dict[str, Any]) -> Any:
        if self._middleware_chain is None:
            self.load_middleware()
        payload = scope.pop("_body_file", None) or FakePayload("")
        body = RequestBody(_receiver(payload), read(HttpSettings), lambda: None)
        request_started.disconnect(close_old_connections)
        try:
            request, response = await run_sync(self._answer, scope, body)
        finally:
            body.close()
            request_started.connect(close_old_connections)
        conditional_content_removal(request, response)
        response.asgi_request = request
        await self._end(response)
        return response

    def _answer(self, scope: dict[str, Any], body: RequestBody) -> tuple[Any, Any]:
        request_started.send(sender=self.__class__, scope=scope)
        request = self.request_class(scope, body)
        request._dont_enforce_csrf_checks = not self.enforce_csrf_checks
        response = self.get_response(request)
        prepare_file(request, response)
        return request, response

    async def _end(self, response: Any) -> None:
        if not response.streaming:
            request_finished.disconnect(close_old_connections)
            await run_sync(response.close)
            request_finished.connect(close_old_connections)
            return
        closing = (
            client.aclosing_iterator_wrapper
            if response.is_async
            else client.closing_iterator_wrapper
        )
        response.streaming_content = closing(response.streaming_content, response.close)


def on_new_loop(function: Callable[..., Any], *args: Any) -> Any:
    """Call a synchronous function on a loop of its own, in the context of the caller."""
    context = copy_context()
    with asyncio.Runner() as runner:
        try:
            return runner.run(run_sync(function, *args), context=context)
        finally:
            for variable, value in context.items():
                variable.set(value)


def _receiver(payload: FakePayload) -> Callable[[], Any]:
    """Return an ASGI ``receive()`` for a client that sends its payload and stays."""
    ended: list[bool] = []

    async def receive() -> Message:
        if ended:
            await asyncio.Event().wait()
        chunk = payload.read(min(CHUNK_BYTES, len(payload)))
        if not len(payload):
            ended.append(True)
        return {"type": "http.request", "body": chunk, "more_body": not ended}

    return receive
