"""A long chain of middleware costs no C stack, which each wait would copy."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path
from django.utils.deprecation import MiddlewareMixin

from django_loom import await_
from django_loom.bridge import current_call
from tests.http.asgi import get
from tests.loops import LoopRunner

saved: list[int] = []


class Middleware(MiddlewareMixin):
    """As Django's own are: an object that is called."""


async def look(call: Any) -> None:
    saved.append(call._stack_saved)


def view(request: HttpRequest) -> HttpResponse:
    await_(look(current_call()))
    return HttpResponse()


urlpatterns = [path("", view)]


async def request(middleware: int) -> None:
    with override_settings(
        ROOT_URLCONF=__name__,
        MIDDLEWARE=[f"{__name__}.Middleware"] * middleware,
        ALLOWED_HOSTS=["testserver"],
        LOOM={"SYNC_VIEWS": "loop"},
    ):
        assert (await get("/")).status == 200


@pytest.mark.usefixtures("saved_is_empty")
def test_fifty_middlewares_need_no_more_stack_than_one(loop_runner: LoopRunner) -> None:
    loop_runner(request(1))
    loop_runner(request(50))
    assert saved[0] == saved[1]


@pytest.fixture
def saved_is_empty() -> None:
    saved.clear()
