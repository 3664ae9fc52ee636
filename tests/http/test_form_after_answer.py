"""A task that an async view has started reads the body after the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

from tests.http.asgi import post
from tests.loops import LoopRunner

FORM = "application/x-www-form-urlencoded"
requests: list[Any] = []


async def view(request: HttpRequest) -> HttpResponse:
    requests.append(request)
    return HttpResponse("accepted")


async def changing_view(request: HttpRequest) -> HttpResponse:
    request.__class__ = ASGIRequest  # type: ignore[assignment]
    return await view(request)


urlpatterns = [path("view", view), path("changing", changing_view)]


@pytest.fixture(autouse=True)
def site(tmp_path: Path) -> Iterator[None]:
    requests.clear()
    with override_settings(
        ROOT_URLCONF=__name__,
        MIDDLEWARE=[],
        ALLOWED_HOSTS=["testserver"],
        FILE_UPLOAD_MAX_MEMORY_SIZE=100,
        FILE_UPLOAD_TEMP_DIR=str(tmp_path),
    ):
        yield


@pytest.mark.parametrize("url", ["/view", "/changing"])
@pytest.mark.parametrize("what", ["POST", "body"])
def test_a_small_one_is_there(loop_runner: LoopRunner, url: str, what: str) -> None:
    async def main() -> Any:
        answer = await post(url, b"a=1&", b"b=2", content_type=FORM)
        assert answer.content == b"accepted"
        later = asyncio.create_task(asyncio.to_thread(getattr, requests.pop(), what))
        return await later

    read = loop_runner(main)
    assert read == b"a=1&b=2" or (read["a"], read["b"]) == ("1", "2")


def test_the_file_of_a_large_one_is_closed(loop_runner: LoopRunner, tmp_path: Path) -> None:
    loop_runner(post("/view", b"a=1&b=" + b"2" * 1000, content_type=FORM))
    assert requests[0]._stream.closed
    assert list(tmp_path.iterdir()) == []
