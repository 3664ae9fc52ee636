"""Middleware gives the request another class: it stays a request that our handler serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.urls import path

from django_loom import in_thread, on_loop, streaming_body
from django_loom.http.requests import LoomRequest
from tests.http.asgi import Connection, chunk, end, post, request, start
from tests.loops import LoopRunner

# What Django makes of a body that is here; how one is awaited is in test_body.py.
one_loop = pytest.mark.one_loop

FORM = "application/x-www-form-urlencoded"


class Noting(ASGIRequest):
    """As a tool that wants to know of the user makes it."""

    noted: Any = None

    @property
    def user(self) -> Any:
        return self.noted

    @user.setter
    def user(self, user: Any) -> None:
        self.noted = user


class Asking(ASGIRequest):
    """Has an answer to whatever it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "urlconf":
            raise AttributeError(name)
        return f"asked for {name}"


CLASSES: dict[str, type[HttpRequest]] = {"noting": Noting, "asking": Asking}


def changing(get_response: Any) -> Callable[[Any], Any]:
    def middleware(request: Any) -> Any:
        request.__class__ = CLASSES[request.headers["class"]]
        request.user = "Ann"
        return get_response(request)

    return middleware


def form(request: Any) -> HttpResponse:
    assert not isinstance(request, LoomRequest)
    return HttpResponse(f"{request.user} {request.POST['a']} {len(request.body)}")


async def async_form(request: Any) -> HttpResponse:
    return form(request)


@streaming_body
async def async_stream(request: Any) -> HttpResponse:
    parts = [part async for part in LoomRequest.stream(request)]
    return HttpResponse(b"".join(parts))


def parts(request: Any) -> StreamingHttpResponse:
    return StreamingHttpResponse(iter([request.POST["a"], request.user]))


kept: list[Any] = []


def upload(request: Any) -> HttpResponse:
    files = request.FILES
    kept.append(request)
    return HttpResponse(files["file"].read())


VIEWS = {
    "loop": on_loop(form),
    "thread": in_thread(form),
    "async": async_form,
    "stream": async_stream,
    "loop-parts": on_loop(parts),
    "thread-parts": in_thread(parts),
    "loop-upload": on_loop(upload),
    "thread-upload": in_thread(upload),
}
urlpatterns = [path(name, view) for name, view in VIEWS.items()]
classes = pytest.mark.parametrize("name", CLASSES)


@pytest.fixture(autouse=True)
def site() -> Iterator[None]:
    kept.clear()
    middleware = ["django.middleware.common.CommonMiddleware", f"{__name__}.changing"]
    with override_settings(
        ROOT_URLCONF=__name__, MIDDLEWARE=middleware, ALLOWED_HOSTS=["testserver"]
    ):
        yield


@one_loop
@classes
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("loop", b"Ann 1 7"),
        ("thread", b"Ann 1 7"),
        ("async", b"Ann 1 7"),
        ("stream", b"a=1&b=2"),
        ("loop-parts", b"1Ann"),
        ("thread-parts", b"1Ann"),
    ],
)
def test_views_have_body_and_form(
    loop_runner: LoopRunner, name: str, url: str, expected: bytes
) -> None:
    headers = [("class", name)]
    answer = loop_runner(post(f"/{url}", b"a=1", b"&b=2", content_type=FORM, headers=headers))
    assert (answer.status, answer.content) == (200, expected)


@one_loop
@classes
@pytest.mark.parametrize("url", ["loop", "thread", "async"])
def test_a_body_that_is_too_large_has_its_status(
    loop_runner: LoopRunner, name: str, url: str
) -> None:
    with override_settings(LOOM={"MAX_BODY": 3}):
        headers = [("class", name), ("content-type", FORM), ("content-length", "7")]
        answer = loop_runner(request("POST", f"/{url}", [b"a=1&b=2"], headers))
    assert answer.status == 413


@classes
@pytest.mark.parametrize("url", ["loop", "thread", "async"])
def test_a_client_that_leaves_ends_its_request(
    loop_runner: LoopRunner, name: str, url: str
) -> None:
    async def main() -> None:
        connection = Connection(chunk(b"a=1"))
        headers = [("class", name), ("content-type", FORM), ("content-length", "7")]
        task = start(connection, "POST", f"/{url}", headers)
        await connection.until(lambda: len(connection.taken) == 1 and connection.receiving)
        connection.leave()
        await task
        assert connection.sent == []

    loop_runner(main)


@classes
@pytest.mark.parametrize("place", ["loop", "thread"])
def test_files_are_closed_at_the_end(
    loop_runner: LoopRunner, name: str, place: str, tmp_path: Any
) -> None:
    file = BytesIO(b"x" * 100)
    file.name = "file.txt"
    body = encode_multipart(BOUNDARY, {"file": file})
    with override_settings(FILE_UPLOAD_MAX_MEMORY_SIZE=10, FILE_UPLOAD_TEMP_DIR=str(tmp_path)):
        headers = [("class", name)]
        answer = loop_runner(
            post(f"/{place}-upload", body, content_type=MULTIPART_CONTENT, headers=headers)
        )
    assert (answer.status, answer.content) == (200, b"x" * 100)
    assert kept[0].FILES["file"].closed
    assert list(tmp_path.iterdir()) == []


@classes
@pytest.mark.parametrize("place", ["loop", "thread"])
def test_a_file_that_breaks_off_is_closed(
    loop_runner: LoopRunner, name: str, place: str, tmp_path: Any
) -> None:
    async def main() -> None:
        begin = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        connection = Connection(chunk(begin.encode() + b"x" * 100_000))
        headers = [("class", name), ("content-type", MULTIPART_CONTENT)]
        headers.append(("content-length", "200000"))
        task = start(connection, "POST", f"/{place}-upload", headers)
        await connection.until(lambda: len(connection.taken) == 1 and connection.receiving)
        connection.give(end(b"x" * 10))
        await task

    handlers = ["django.core.files.uploadhandler.TemporaryFileUploadHandler"]
    with override_settings(FILE_UPLOAD_HANDLERS=handlers, FILE_UPLOAD_TEMP_DIR=str(tmp_path)):
        loop_runner(main)
    assert list(tmp_path.iterdir()) == []
