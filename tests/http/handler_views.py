"""Views that every test of the handler's contract can call, and the settings of their site."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.http import Http404, HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import get_script_prefix

from django_loom import in_thread, on_loop

DEFAULT_MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
EXCEPTIONS: dict[str, tuple[type[Exception], int]] = {
    "not_found": (Http404, 404),
    "denied": (PermissionDenied, 403),
    "bad": (BadRequest, 400),
    "suspicious": (SuspiciousOperation, 400),
    "too_big": (RequestDataTooBig, 400),
    "error": (ValueError, 500),
}
events: list[Any] = []


@on_loop
def loop_view(request: HttpRequest, **given: Any) -> HttpResponse:
    return view(request, **given)


@in_thread
def thread_view(request: HttpRequest, **given: Any) -> HttpResponse:
    return view(request, **given)


async def async_view(request: HttpRequest, **given: Any) -> HttpResponse:
    await asyncio.sleep(0)
    return view(request, **given)


def view(request: HttpRequest, **given: Any) -> HttpResponse:
    events.append(("view", threading.current_thread() is threading.main_thread()))
    if raised := request.GET.get("raise"):
        raise EXCEPTIONS[raised][0]("mine")
    response = HttpResponse(f"{get_script_prefix()} {request.path_info} {given}")
    for name in request.GET.getlist("cookie"):
        response.set_cookie(name, "value", httponly=True)
    return response


VIEWS = [loop_view, thread_view, async_view]
views = pytest.mark.parametrize("name", [view.__name__ for view in VIEWS])


@contextmanager
def site(urls: str) -> Iterator[None]:
    """The settings of a site whose URLs are those of a module, and no events."""
    events.clear()
    with override_settings(
        ROOT_URLCONF=urls,
        MIDDLEWARE=[],
        ALLOWED_HOSTS=["testserver"],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    ):
        yield
