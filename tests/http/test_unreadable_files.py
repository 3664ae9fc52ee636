"""A file that cannot be sent, which shows when the response is there and nothing of it is sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.http import FileResponse, HttpRequest
from django.test import override_settings
from django.urls import path

from django_loom.asgi import get_asgi_application
from tests.http.client import Answer, Browser
from tests.loops import LoopRunner

closed: list[str] = []


def view(request: HttpRequest) -> FileResponse:
    with Path(__file__).open("rb") as file:
        response = FileResponse(file)
    response._resource_closers.append(lambda: closed.append("the view's"))
    return response


async def async_view(request: HttpRequest) -> FileResponse:
    return view(request)


urlpatterns = [path("sync", view), path("async", async_view)]


@pytest.mark.parametrize("url", ["/sync", "/async"])
def test_the_answer_is_a_500_and_closes_what_the_response_had(
    loop_runner: LoopRunner, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    async def get() -> Answer:
        return await Browser(get_asgi_application()).get(url)

    closed.clear()
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[], ALLOWED_HOSTS=["testserver"]):
        answer = loop_runner(get)
    assert answer.status == 500
    assert closed == ["the view's"]
    assert [record.name for record in caplog.records] == ["django.request"]
    assert "without a with block" in caplog.text
