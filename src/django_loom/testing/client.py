"""Django's test client, with the real application behind it."""

from __future__ import annotations

from typing import Any

from django import test
from django.test.client import conditional_content_removal

from django_loom.asgi import database_hooks
from django_loom.http.body import RequestBody
from django_loom.http.deliveries import Answer
from django_loom.http.handler import LoomHandler

from .exchange import Exchange

_EXCHANGE = "django_loom.testing"  # a key of the scope


class AsyncClient(test.AsyncClient):
    """Sends requests through the application that ``django_loom.asgi`` makes.

    The methods and arguments are those of ``django.test.AsyncClient``, and so is the response:
    the view's own, with ``context``, ``templates``, ``json()`` and the rest. That of a
    stream is a copy, with ``async for part in response``: the parts come while the
    application makes them. ``await response.leave()`` is a client that goes away before.

    In a ``TestCase``, write ``async_client_class = AsyncClient``.
    """

    def __init__(self, enforce_csrf_checks: bool = False, **options: Any) -> None:
        super().__init__(enforce_csrf_checks, **options)
        self.handler = ApplicationHandler(enforce_csrf_checks)


class ApplicationHandler:
    """Takes the place of Django's ``AsyncClientHandler``: from a scope to a response."""

    def __init__(self, enforce_csrf_checks: bool) -> None:
        self._enforce_csrf_checks = enforce_csrf_checks
        self._application: _Application | None = None

    async def __call__(self, scope: dict[str, Any]) -> Any:
        # Not earlier: it loads the middleware of the settings, which a test may override.
        if self._application is None:
            self._application = _Application(self._enforce_csrf_checks)
        file = scope.pop("_body_file", None)
        exchange = scope[_EXCHANGE] = Exchange(b"" if file is None else file.read())
        await exchange.begin(self._application, scope)
        response = exchange.client_response()
        if exchange.request is not None:
            conditional_content_removal(exchange.request, response)
        response.asgi_request = exchange.request
        return response


class _Application(LoomHandler):
    """The application of ``django_loom.asgi``, which shows each exchange its response."""

    def __init__(self, enforce_csrf_checks: bool) -> None:
        super().__init__(database_hooks())
        self._enforce_csrf_checks = enforce_csrf_checks

    def create_request(self, scope: dict[str, Any], body: RequestBody) -> Any:
        request, error = super().create_request(scope, body)
        if request is not None:  # what Django's test clients do, and its middleware asks for
            request._dont_enforce_csrf_checks = not self._enforce_csrf_checks
        return request, error

    def answer(self, scope: dict[str, Any], body: RequestBody) -> Answer:
        request, response, part = super().answer(scope, body)
        scope[_EXCHANGE].answered(request, response)
        return request, response, part
