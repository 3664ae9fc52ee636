"""LoomRequest: the body in every form, in every order, within Django's limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
import pytest
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import RawPostDataException
from django.test import override_settings
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.urls import path

from django_loom import on_loop, streaming_body
from django_loom.exceptions import BodyNotRead
from tests.http.asgi import Connection, chunk, end, post, request, start
from tests.loops import LoopRunner

# What Django makes of a body that is here; how one is awaited is in test_body.py.
one_loop = pytest.mark.one_loop

FORM = "application/x-www-form-urlencoded"
BINARY = "application/octet-stream"
BIG = b"0123456789" * 1000
# Django 5.2 answers 500 to these; a server lets none of them through.
MALFORMED = ["x", "3, 3"] if django.VERSION >= (6, 1) else []
seen: list[Any] = []


class Upload:
    def __init__(self, name: str, content: bytes) -> None:
        self.name, self._content = name, content

    def read(self) -> bytes:
        return self._content


MULTIPART = encode_multipart(BOUNDARY, {"field": "value", "file": Upload("f.bin", BIG)})


def pieces(content: bytes, size: int = 700) -> list[bytes]:
    return [content[place : place + size] for place in range(0, len(content), size)]


def found(request: HttpRequest) -> dict[str, Any]:
    files = {name: len(file.read()) for name, file in request.FILES.items()}
    return {"post": dict(request.POST), "files": files}


def form_view(request: HttpRequest) -> HttpResponse:
    return JsonResponse(found(request))


@on_loop
def form_view_on_loop(request: HttpRequest) -> HttpResponse:
    return form_view(request)


async def async_form_view(request: HttpRequest) -> HttpResponse:
    return JsonResponse(found(request))


@streaming_body
async def streaming_form_view(request: Any) -> HttpResponse:
    for touch in (lambda: request.POST, lambda: request.FILES, lambda: request.body):
        with pytest.raises(BodyNotRead, match=r"await request\.aform\(\)"):
            touch()
    for read in (request.read, request.readline):
        with pytest.raises(BodyNotRead):
            read()
    form = await request.aform()
    assert form is request.POST
    return JsonResponse(found(request))


def body_view(request: HttpRequest) -> HttpResponse:
    assert request.body == request.body
    return HttpResponse(request.body)


@on_loop
def body_view_on_loop(request: HttpRequest) -> HttpResponse:
    return body_view(request)


async def async_body_view(request: Any) -> HttpResponse:
    assert request.body == await request.aread()
    return HttpResponse(request.body)


@streaming_body
async def streaming_body_view(request: Any) -> HttpResponse:
    assert await request.aread() == await request.aread() == request.body
    return HttpResponse(request.body)


async def lines(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"|".join(request))


@streaming_body
async def stream(request: Any) -> HttpResponse:
    parts = [part async for part in request.stream()]
    with pytest.raises(RawPostDataException):
        request.body  # noqa: B018
    assert dict(await request.aform()) == {}
    return HttpResponse(b"|".join(parts))


@streaming_body
async def in_any_order(request: Any) -> HttpResponse:
    """What each way gives, one after the other as the query says."""
    ways: dict[str, Callable[[], Any]] = {
        "aread": request.aread,
        "aform": request.aform,
        "stream": lambda: joined(request),
    }
    results = []
    for name in request.GET["ways"].split(","):
        try:
            given = await ways[name]()
        except RawPostDataException:
            given = "gone"
        results.append(given.decode() if isinstance(given, bytes) else given)
    return JsonResponse(results, safe=False)


async def joined(request: Any) -> bytes:
    return b"".join([part async for part in request.stream()])


async def where_the_file_is(request: Any) -> HttpResponse:
    file = request._stream
    seen.append(file)
    assert getattr(file, "_rolled", False)
    if "fail" in request.GET:
        raise ValueError("mine")
    if "wait" in request.GET:
        await asyncio.Event().wait()
    return HttpResponse()


@on_loop
def wait_for_form(request: HttpRequest) -> HttpResponse:
    seen.append(request)
    return JsonResponse(found(request))


urlpatterns = [
    path(view.__name__, view)
    for view in (
        form_view,
        form_view_on_loop,
        async_form_view,
        streaming_form_view,
        body_view,
        body_view_on_loop,
        async_body_view,
        streaming_body_view,
        lines,
        stream,
        in_any_order,
        where_the_file_is,
        wait_for_form,
    )
]
FORM_VIEWS = [form_view, form_view_on_loop, async_form_view, streaming_form_view]
BODY_VIEWS = [body_view, body_view_on_loop, async_body_view, streaming_body_view]
form_views = pytest.mark.parametrize("view", [view.__name__ for view in FORM_VIEWS])
body_views = pytest.mark.parametrize("view", [view.__name__ for view in BODY_VIEWS])


class ReadsForm:
    """Middleware that looks at the form before the view."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        assert dict(request.POST) == {"field": ["value"]}
        response: HttpResponse = self.get_response(request)
        return response


class ReadsSome:
    """Middleware that takes a few bytes of the body."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        assert request.read(2) == b"on"
        response: HttpResponse = self.get_response(request)
        return response


@pytest.fixture(autouse=True)
def our_urls(tmp_path: Path) -> Iterator[None]:
    seen.clear()
    with override_settings(
        ROOT_URLCONF=__name__,
        MIDDLEWARE=[],
        ALLOWED_HOSTS=["testserver"],
        FILE_UPLOAD_TEMP_DIR=str(tmp_path),
    ):
        yield


async def post_chunked(url: str, content: bytes, content_type: str) -> Connection:
    headers = [("content-type", content_type), ("transfer-encoding", "chunked")]
    return await request("POST", url, pieces(content), headers)


@one_loop
@form_views
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("in_memory", [0, 2**20])
def test_forms_with_files(
    loop_runner: LoopRunner, tmp_path: Path, view: str, chunked: bool, in_memory: int
) -> None:
    async def main() -> Connection:
        if chunked:
            return await post_chunked(f"/{view}", MULTIPART, MULTIPART_CONTENT)
        return await post(f"/{view}", *pieces(MULTIPART), content_type=MULTIPART_CONTENT)

    with override_settings(FILE_UPLOAD_MAX_MEMORY_SIZE=in_memory):
        answer = loop_runner(main)
    assert answer.status == 200, answer.content
    assert answer.content == b'{"post": {"field": ["value"]}, "files": {"file": 10000}}'
    assert list(tmp_path.iterdir()) == []


@one_loop
@form_views
@pytest.mark.parametrize("chunked", [False, True])
def test_plain_forms(loop_runner: LoopRunner, view: str, chunked: bool) -> None:
    async def main() -> Connection:
        if chunked:
            return await post_chunked(f"/{view}", b"a=1&a=2", FORM)
        return await post(f"/{view}", b"a=1", b"&a=2", content_type=FORM)

    assert loop_runner(main).content == b'{"post": {"a": ["1", "2"]}, "files": {}}'


@one_loop
@body_views
@pytest.mark.parametrize("body", [[], [b"one"], [b"one", b"two"]])
def test_bodies(loop_runner: LoopRunner, view: str, body: list[bytes]) -> None:
    answer = loop_runner(post(f"/{view}", *body, content_type=BINARY))
    assert (answer.status, answer.content) == (200, b"".join(body))


def test_lines(loop_runner: LoopRunner) -> None:
    answer = loop_runner(post("/lines", b"one\ntw", b"o\nthree", content_type=BINARY))
    assert answer.content == b"one\n|two\n|three"


def test_a_streaming_view_gets_the_pieces(loop_runner: LoopRunner) -> None:
    answer = loop_runner(post("/stream", b"one", b"two", content_type=FORM))
    assert (answer.status, answer.content) == (200, b"one|two")


@one_loop
@pytest.mark.parametrize(
    ("ways", "expected"),
    [
        ("aread,aread", b'["a=1", "a=1"]'),
        ("aread,aform", b'["a=1", {"a": "1"}]'),
        ("aform,aread", b'[{"a": "1"}, "a=1"]'),
        ("aform,aform", b'[{"a": "1"}, {"a": "1"}]'),
        ("aread,stream", b'["a=1", "a=1"]'),
        ("aform,stream", b'[{"a": "1"}, "a=1"]'),
        ("stream,aread", b'["a=1", "gone"]'),
        ("stream,aform", b'["a=1", {}]'),
        ("stream,stream", b'["a=1", ""]'),
    ],
)
def test_ways_to_read_one_after_the_other(
    loop_runner: LoopRunner, ways: str, expected: bytes
) -> None:
    answer = loop_runner(post(f"/in_any_order?ways={ways}", b"a=", b"1", content_type=FORM))
    assert answer.content == expected


@form_views
def test_after_middleware_that_read_the_form(loop_runner: LoopRunner, view: str) -> None:
    if view == "streaming_form_view":
        view = "form_view"  # which would find nothing to be refused
    with override_settings(MIDDLEWARE=[f"{__name__}.ReadsForm"]):
        answer = loop_runner(post(f"/{view}", *pieces(MULTIPART), content_type=MULTIPART_CONTENT))
    assert answer.content == b'{"post": {"field": ["value"]}, "files": {"file": 10000}}'


def test_after_middleware_that_read_a_little(loop_runner: LoopRunner) -> None:
    with override_settings(MIDDLEWARE=[f"{__name__}.ReadsSome"]):
        answer = loop_runner(post("/lines", b"one\ntw", b"o", content_type=BINARY))
    assert (answer.status, answer.content) == (200, b"e\n|two")


@body_views
@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize(("size", "status"), [(10, 200), (11, 400)])
def test_the_limit_of_a_body_in_memory(
    loop_runner: LoopRunner, view: str, announced: bool, size: int, status: int
) -> None:
    async def main() -> Connection:
        if announced:
            return await post(f"/{view}", b"x" * size, content_type=BINARY)
        return await post_chunked(f"/{view}", b"x" * size, BINARY)

    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=10):
        assert loop_runner(main).status == status


@one_loop
@body_views
@pytest.mark.parametrize("announced", ["3", "99", "-5", "", *MALFORMED])
def test_a_lying_length(loop_runner: LoopRunner, view: str, announced: str) -> None:
    """What comes counts; a length over the limit is refused without reading."""
    headers = [("content-type", BINARY), ("content-length", announced)]

    async def main() -> None:
        for body, expected in ((b"12345678901", {400}), (b"1234", {200, 400})):
            answer = await request("POST", f"/{view}", [body], headers)
            if announced == "":  # there is no body, says RFC 9112, and none is read
                assert answer.content in (b"", body) or answer.status == 400
            else:
                assert answer.status in expected

    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=10):
        loop_runner(main)


@one_loop
@form_views
@pytest.mark.parametrize("content_type", [FORM, MULTIPART_CONTENT, BINARY])
@pytest.mark.parametrize("chunked", [False, True])
def test_max_body(loop_runner: LoopRunner, view: str, content_type: str, chunked: bool) -> None:
    async def main() -> Connection:
        if chunked:
            return await post_chunked(f"/{view}", MULTIPART, content_type)
        return await post(f"/{view}", *pieces(MULTIPART), content_type=content_type)

    with override_settings(LOOM={"MAX_BODY": 2000}):
        answer = loop_runner(main)
    reads = content_type != BINARY or view == "async_form_view"
    assert answer.status == (413 if reads else 200)
    assert sum(len(message["body"]) for message in answer.taken) <= (2700 if chunked else 0)


@form_views
@pytest.mark.parametrize("debug", [False, True])
def test_a_client_that_stops_gets_408(loop_runner: LoopRunner, view: str, debug: bool) -> None:
    async def main() -> Connection:
        connection = Connection(chunk(b"a=1"))
        headers = [("content-type", FORM), ("content-length", "100")]
        await start(connection, "POST", f"/{view}", headers)
        return connection

    with override_settings(LOOM={"BODY_TIMEOUT": 0.02}, DEBUG=debug):
        answer = loop_runner(main)
    assert answer.status == 408


@form_views
def test_debug_page_of_a_body_that_is_too_large(loop_runner: LoopRunner, view: str) -> None:
    with override_settings(LOOM={"MAX_BODY": 3}, DEBUG=True):
        answer = loop_runner(post(f"/{view}", b"a=1&b=2", content_type=FORM))
    assert answer.status == 413
    assert b"BodyTooLarge" in answer.content


def test_a_large_body_waits_in_a_file_that_goes_with_the_request(
    loop_runner: LoopRunner, tmp_path: Path
) -> None:
    async def main() -> None:
        answer = await post("/where_the_file_is", BIG, BIG, content_type=BINARY)
        assert answer.status == 200
        answer = await post("/where_the_file_is?fail", BIG, content_type=BINARY)
        assert answer.status == 500
        connection = Connection(chunk(BIG), end())
        headers = [("content-type", BINARY), ("content-length", str(len(BIG)))]
        task = start(connection, "POST", "/where_the_file_is?wait", headers)
        await connection.until(lambda: connection.receiving and len(seen) == 3)  # the watch
        connection.leave()
        await task
        assert connection.sent == []

    with override_settings(FILE_UPLOAD_MAX_MEMORY_SIZE=100):
        loop_runner(main)
    assert [file.closed for file in seen] == [True] * 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("at", [100_000, 300_000])
def test_an_upload_that_breaks_off_leaves_no_file(
    loop_runner: LoopRunner, tmp_path: Path, left: bool, at: int
) -> None:
    """In the midst of a file, and after one."""

    def files() -> list[Path]:
        return list(tmp_path.iterdir())

    body = encode_multipart(
        BOUNDARY, {"a": Upload("a.bin", BIG * 20), "b": Upload("b.bin", BIG * 20), "c": "d"}
    )

    async def main() -> Connection:
        connection = Connection(*map(chunk, pieces(body[:at], 30_000)))
        headers = [("content-type", MULTIPART_CONTENT), ("content-length", str(len(body)))]
        task = start(connection, "POST", "/wait_for_form", headers)
        await connection.until(lambda: connection.receiving and not connection.messages)
        assert len(files()) == (1 if at == 100_000 else 2)
        if left:
            connection.leave()
        await task
        return connection

    limits = {"BODY_TIMEOUT": 0.2, "BODY_RATE": 10**9}
    with override_settings(FILE_UPLOAD_MAX_MEMORY_SIZE=0, LOOM=limits):
        answer = loop_runner(main)
    assert files() == []
    assert answer.sent == [] if left else answer.status == 408
    seen.clear()


class KeepsFiles(TemporaryFileUploadHandler):
    """Keeps what has come whole, or nobody could see if it was closed or just forgotten."""

    kept: list[Any] = []

    def file_complete(self, file_size: int) -> Any:
        file = super().file_complete(file_size)
        self.kept.append(file)
        return file


def test_a_file_that_had_come_whole_is_closed_when_the_client_leaves(
    loop_runner: LoopRunner,
) -> None:
    body = encode_multipart(BOUNDARY, {"a": Upload("a.bin", BIG), "b": Upload("b.bin", BIG * 20)})

    async def main() -> None:
        connection = Connection(*map(chunk, pieces(body[:100_000], 30_000)))
        headers = [("content-type", MULTIPART_CONTENT), ("content-length", str(len(body)))]
        task = start(connection, "POST", "/wait_for_form", headers)
        await connection.until(lambda: connection.receiving and not connection.messages)
        connection.leave()
        await task

    KeepsFiles.kept.clear()
    with override_settings(FILE_UPLOAD_HANDLERS=[f"{__name__}.KeepsFiles"]):
        loop_runner(main)
    assert [file.closed for file in KeepsFiles.kept] == [True]


def test_the_files_of_a_form_are_closed_at_the_end(loop_runner: LoopRunner) -> None:
    with override_settings(FILE_UPLOAD_MAX_MEMORY_SIZE=0):
        loop_runner(post("/wait_for_form", MULTIPART, content_type=MULTIPART_CONTENT))
    file = seen[0].FILES["file"]
    assert isinstance(file, TemporaryUploadedFile)
    assert file.closed


def test_a_request_without_a_body_is_not_waited_for(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        connection = Connection()
        await start(connection, "POST", "/async_form_view")
        assert connection.status == 200
        assert connection.taken == []

    loop_runner(main)


def test_http_2_needs_no_length(loop_runner: LoopRunner) -> None:
    answer = loop_runner(request("POST", "/async_body_view", [b"one", b"two"], http_version="2"))
    assert answer.content == b"onetwo"
