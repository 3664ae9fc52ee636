"""Responses whose ``render()`` is async, as Django's own ASGI handler allows."""

from __future__ import annotations

import asyncio

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

from django_loom.asgi import get_asgi_application
from tests.http.client import Answer, Browser
from tests.loops import LoopRunner


class LateResponse(HttpResponse):
    async def render(self) -> HttpResponse:
        await asyncio.sleep(0)
        if not self.content:
            raise LookupError("nothing to say")
        return HttpResponse(self.content.upper())


class NamesTheError:
    def __init__(self, get_response: object) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)  # type: ignore[operator,no-any-return]

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse:
        return HttpResponse(f"sorry: {error}")


def view(request: HttpRequest) -> HttpResponse:
    return LateResponse(request.GET.get("text", ""))


async def async_view(request: HttpRequest) -> HttpResponse:
    return LateResponse(request.GET.get("text", ""))


urlpatterns = [path("sync", view), path("async", async_view)]


async def get(url: str, views: str) -> Answer:
    with override_settings(
        ROOT_URLCONF=__name__, MIDDLEWARE=[f"{__name__}.NamesTheError"], LOOM={"SYNC_VIEWS": views}
    ):
        return await Browser(get_asgi_application()).get(url)


@pytest.mark.parametrize("views", ["loop", "thread"])
@pytest.mark.parametrize("url", ["/sync", "/async"])
def test_what_it_renders_is_the_response(loop_runner: LoopRunner, url: str, views: str) -> None:
    assert loop_runner(get(f"{url}?text=hello", views)).text == "HELLO"


@pytest.mark.parametrize("views", ["loop", "thread"])
@pytest.mark.parametrize("url", ["/sync", "/async"])
def test_its_error_goes_to_process_exception(loop_runner: LoopRunner, url: str, views: str) -> None:
    assert loop_runner(get(url, views)).text == "sorry: nothing to say"
