"""Views of every kind that tell where they run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods


def where(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    is_loop = threading.current_thread() is threading.main_thread()
    return HttpResponse("loop" if is_loop else "thread")


async def async_where(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return where(request, **kwargs)


def function() -> Callable[..., HttpResponse]:
    """A view that no other test marks."""

    def view(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return where(request)

    return view


class WhereView(View):
    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return where(request)


class AsyncWhereView(View):
    async def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return where(request)


def view_class() -> type[View]:
    return type("OwnView", (WhereView,), {})


def wrapping(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> HttpResponse:
        return view(*args, **kwargs)

    return wrapper


def decorated(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """With Django's decorators and others above it."""
    return csrf_exempt(wrapping(never_cache(require_http_methods(["GET", "POST"])(view))))


class Views:
    """Bound methods as views, as the admin has them."""

    def method(self, request: HttpRequest) -> HttpResponse:
        return where(request)


class CallableView:
    def __call__(self, request: HttpRequest) -> HttpResponse:
        return where(request)


class SlottedView:
    __slots__ = ()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return where(request)


class EqualView(CallableView):
    """All of them are equal, and none has a hash."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EqualView)


@method_decorator(login_not_required, name="dispatch")
class OpenView(WhereView):
    pass


class ExemptView(CallableView):
    """Says to middleware what it is by attributes of its class."""

    csrf_exempt = True
    login_required = False


KINDS: dict[str, Callable[[], Any]] = {
    "function": function,
    "as_view": lambda: view_class().as_view(),
    "decorated": lambda: decorated(function()),
    "partial": lambda: partial(function(), option=1),
    "method": lambda: Views().method,
    "callable": CallableView,
    "slotted": SlottedView,
    "unhashable": EqualView,
    "lambda": lambda: lambda request: where(request),
}
