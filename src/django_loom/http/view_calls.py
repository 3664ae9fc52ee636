"""How a view is called: where it runs, with its body there or not, in which transactions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import connections
from django.http import HttpRequest

from django_loom.bridge import await_
from django_loom.exceptions import ThreadsBusy

from .arriving import receive_body
from .hooks import DatabaseHooks
from .placement import streams_body
from .responses import busy_response
from .view_threads import ViewThreads

View = Callable[..., Any]


class ViewCalls:
    """Makes synchronous callables of views, for the greenlet of a request."""

    def __init__(self, database: DatabaseHooks, threads: ViewThreads) -> None:
        self._database = database
        self._threads = threads

    def awaited(self, view: View) -> View:
        """Return what calls an async view, in the transactions ``ATOMIC_REQUESTS`` asks for."""
        called = view
        for alias in _atomic_in(view):
            called = self._database.atomic(alias)(called)
        return _awaited(called, body_first=not streams_body(view))

    def in_thread(self, view: View) -> View:
        """Return what calls a synchronous view in a thread."""
        return partial(self._call_in_thread, view)

    def _call_in_thread(self, view: View, *args: Any, **kwargs: Any) -> Any:
        try:
            response = await_(self._threads.run(view, *args, **kwargs))
        except ThreadsBusy as refusal:
            return busy_response(args[0], refusal)
        if not getattr(response, "is_rendered", True) and callable(response.render):
            response.render = partial(self._render_in_thread, response)
        return response

    def _render_in_thread(self, response: Any) -> Any:
        """Render a template of a view in a thread where that view belongs as well."""
        del response.render  # the class has its own; a cache pickles the response without ours
        return await_(self._threads.run(response.render, refusable=False))


def _atomic_in(view: View) -> list[str]:
    exempt = getattr(view, "_non_atomic_requests", ())
    return [
        alias
        for alias, database in connections.settings.items()
        if database["ATOMIC_REQUESTS"] and alias not in exempt
    ]


def _awaited(view: View, *, body_first: bool) -> View:
    # A closure: calling a partial takes more of the C stack, which each wait copies.
    def call(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if body_first:
            receive_body(request)
        return await_(view(request, *args, **kwargs))

    call._non_atomic_requests = connections  # type: ignore[attr-defined]  # Django adds none
    return call
