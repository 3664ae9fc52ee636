"""The handler's contract, which is Django's: exceptions, responses, URLs, signals."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import signals
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path, reverse

from tests.http.asgi import Connection, get, request, start
from tests.http.handler_views import EXCEPTIONS, VIEWS, events, loop_view, site, thread_view, views
from tests.loops import LoopRunner

HERE = __name__


def wrong(request: HttpRequest) -> Any:
    return None


async def wrong_async(request: HttpRequest) -> Any:
    return None


async def waits(request: HttpRequest) -> HttpResponse:
    events.append("waits")
    await asyncio.Event().wait()
    raise AssertionError("never here")


def breaks_off(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        yield b"part"
        raise ValueError("mine")

    return StreamingHttpResponse(parts())


async def breaks_off_async(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> Any:
        yield b"part"
        raise ValueError("mine")

    return StreamingHttpResponse(parts())


def with_error(request: HttpRequest, exception: Any = None) -> HttpResponse:
    return HttpResponse(f"custom {type(exception).__name__}", status=599)


class OtherUrls:
    urlpatterns = [path("other", thread_view)]


urlpatterns = [
    path(view.__name__, view)
    for view in [
        *VIEWS,
        wrong,
        wrong_async,
        waits,
        breaks_off,
        breaks_off_async,
    ]
] + [path("named/<int:number>/", loop_view, name="named")]


@pytest.fixture(autouse=True)
def our_urls() -> Iterator[None]:
    with site(HERE):
        yield


@pytest.fixture
def signals_sent() -> Iterator[list[str]]:
    """The names of the request's signals, in their order."""
    sent: list[str] = []
    connected = []
    for name in ("request_started", "request_finished", "got_request_exception"):

        def receiver(name: str = name, **kwargs: Any) -> None:
            sent.append(name)

        signal = getattr(signals, name)
        signal.connect(receiver)
        connected.append((signal, receiver))
    yield sent
    for signal, receiver in connected:
        signal.disconnect(receiver)


@views
@pytest.mark.parametrize("raised", EXCEPTIONS)
@pytest.mark.parametrize("debug", [False, True])
def test_exceptions_become_responses(
    loop_runner: LoopRunner, signals_sent: list[str], name: str, raised: str, debug: bool
) -> None:
    exception, status = EXCEPTIONS[raised]
    with override_settings(DEBUG=debug):
        answer = loop_runner(get(f"/{name}?raise={raised}"))
    assert answer.status == status
    if debug and raised not in ("denied", "not_found"):
        assert exception.__name__.encode() in answer.content
    error = ["got_request_exception"] if raised == "error" else []
    assert signals_sent == ["request_started", *error, "request_finished"]


@views
@pytest.mark.parametrize("raised", ["not_found", "denied", "bad", "error"])
def test_custom_error_handlers(
    loop_runner: LoopRunner, monkeypatch: pytest.MonkeyPatch, name: str, raised: str
) -> None:
    exception, status = EXCEPTIONS[raised]
    monkeypatch.setitem(globals(), f"handler{status}", with_error)
    from django.urls import clear_url_caches

    clear_url_caches()
    answer = loop_runner(get(f"/{name}?raise={raised}"))
    clear_url_caches()
    shown = "NoneType" if raised == "error" else exception.__name__
    assert (answer.status, answer.content.decode()) == (599, f"custom {shown}")


@views
def test_exceptions_propagate_if_that_is_set(
    loop_runner: LoopRunner, signals_sent: list[str], name: str
) -> None:
    with (
        override_settings(DEBUG_PROPAGATE_EXCEPTIONS=True),
        pytest.raises(ValueError, match="mine"),
    ):
        loop_runner(get(f"/{name}?raise=error"))
    assert signals_sent == ["request_started", "got_request_exception", "request_finished"]


@pytest.mark.parametrize("name", ["wrong", "wrong_async"])
def test_a_view_without_a_response(loop_runner: LoopRunner, name: str) -> None:
    with override_settings(DEBUG=True):
        answer = loop_runner(get(f"/{name}"))
    assert answer.status == 500
    assert b"return an HttpResponse object. It returned None" in answer.content


def test_a_url_that_is_not_there(loop_runner: LoopRunner) -> None:
    assert loop_runner(get("/nowhere")).status == 404


def test_a_request_that_is_not_utf_8(loop_runner: LoopRunner, signals_sent: list[str]) -> None:
    answer = loop_runner(request("GET", "/hello", query_string=b"\xff"))
    assert answer.status == 400
    assert signals_sent == ["request_started", "request_finished"]


@views
def test_where_a_view_runs(loop_runner: LoopRunner, name: str) -> None:
    assert loop_runner(get(f"/{name}")).status == 200
    assert events == [("view", name != "thread_view")]


@views
def test_head_has_the_head_only(loop_runner: LoopRunner, name: str) -> None:
    with override_settings(MIDDLEWARE=["django.middleware.common.CommonMiddleware"]):
        whole, head = loop_runner(get(f"/{name}")), loop_runner(request("HEAD", f"/{name}"))
    assert head.headers == whole.headers
    assert head.header("content-length") == str(len(whole.content))
    assert (head.content, len(head.sent)) == (b"", 2)


def test_cookies(loop_runner: LoopRunner) -> None:
    answer = loop_runner(get("/loop_view?cookie=a&cookie=b"))
    cookies = [value for name, value in answer.headers if name == "set-cookie"]
    assert cookies == ["a=value; HttpOnly; Path=/", "b=value; HttpOnly; Path=/"]


@views
@pytest.mark.parametrize(
    ("root", "url", "force", "expected"),
    [
        ("", "/{}", None, "/ /{} {}"),
        ("/root", "/root/{}", None, "/root/ /{} {}"),
        ("/root", "/{}", None, "/root/ /{} {}"),
        ("/root", "/forced/{}", "/forced", "/forced/ /{} {}"),
    ],
)
def test_script_names(
    loop_runner: LoopRunner, name: str, root: str, url: str, force: str | None, expected: str
) -> None:
    with override_settings(FORCE_SCRIPT_NAME=force):
        answer = loop_runner(get(url.replace("{}", name), root_path=root))
    assert answer.content.decode() == expected.replace("{}", name, 1)


def test_the_script_name_is_the_requests_own(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        answers = await asyncio.gather(
            get("/a/async_view", root_path="/a"), get("/b/async_view", root_path="/b")
        )
        assert [answer.content[:3] for answer in answers] == [b"/a/", b"/b/"]

    loop_runner(main)


class ChoosesUrls:
    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        request.urlconf = OtherUrls
        return self.get_response(request)


def test_a_requests_own_urls_and_no_other_requests(loop_runner: LoopRunner) -> None:
    with override_settings(MIDDLEWARE=[f"{HERE}.ChoosesUrls"]):
        assert loop_runner(get("/other")).status == 200
    assert loop_runner(get("/other")).status == 404
    assert reverse("named", args=[1]) == "/named/1/"


@pytest.mark.parametrize("url", ["/loop_view", "/thread_view?raise=error", "/waits"])
def test_signals_once_for_each_request(
    loop_runner: LoopRunner, signals_sent: list[str], url: str
) -> None:
    async def main() -> None:
        connection = Connection()
        task = start(connection, "GET", url)
        if url == "/waits":
            await connection.until(lambda: connection.receiving)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await task

    loop_runner(main)
    assert signals_sent.count("request_started") == signals_sent.count("request_finished") == 1
    assert signals_sent.count("got_request_exception") == ("error" in url)


def test_async_receivers_of_signals(loop_runner: LoopRunner) -> None:
    async def receiver(**kwargs: Any) -> None:
        await asyncio.sleep(0)
        events.append("received")

    signals.request_started.connect(receiver)
    signals.request_finished.connect(receiver)
    try:
        loop_runner(get("/hello"))
    finally:
        signals.request_started.disconnect(receiver)
        signals.request_finished.disconnect(receiver)
    assert events == ["received", "received"]


@pytest.mark.parametrize("name", ["breaks_off", "breaks_off_async"])
@pytest.mark.parametrize("place", ["thread", "loop"])
def test_an_error_in_the_midst_of_a_response_reaches_the_server(
    loop_runner: LoopRunner, signals_sent: list[str], name: str, place: str
) -> None:
    """It aborts the connection: that is how the client learns that the response is not whole."""

    async def main() -> None:
        connection = Connection()
        with pytest.raises(ValueError, match="mine"):
            await start(connection, "GET", f"/{name}")
        assert connection.content == b"part"
        assert not connection.complete

    with override_settings(LOOM={"SYNC_VIEWS": place}):
        loop_runner(main)
    assert signals_sent == ["request_started", "request_finished"]
