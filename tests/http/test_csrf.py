"""CSRF: a token in the header, or the browser's word, is enough before the body is read."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

from django_loom import streaming_body
from tests.http.asgi import Connection, end, start
from tests.loops import LoopRunner

# Whether headers are enough is told by headers; how a body is awaited, by test_body.py.
pytestmark = pytest.mark.one_loop

SECRET = "a" * 32
FORM = f"csrfmiddlewaretoken={SECRET}".encode()


def sync_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse("passed")


async def async_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse("passed")


@streaming_body
async def streaming_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse("passed")


VIEWS = [sync_view, async_view, streaming_view]
urlpatterns = [path(view.__name__, view) for view in VIEWS]
CSRF = override_settings(
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
    ALLOWED_HOSTS=["testserver"],
    LOOM={"SYNC_VIEWS": "loop"},
)


async def post(view: Any, *, body: bytes = FORM, **headers: str) -> tuple[int, int]:
    """The status, and how many messages of the body were received."""
    named = {
        "cookie": f"csrftoken={SECRET}",
        "content-type": "application/x-www-form-urlencoded",
        "content-length": str(len(body)),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    connection = Connection(end(body))
    given = [(name, value) for name, value in named.items() if value]
    await start(connection, "POST", f"/{view.__name__}", given)
    return connection.status, len(connection.taken)


@pytest.mark.parametrize("view", [sync_view, streaming_view])
def test_a_token_in_the_header_passes_before_the_body_is_read(
    loop_runner: LoopRunner, view: Any
) -> None:
    with CSRF:
        assert loop_runner(post(view, x_csrftoken=SECRET)) == (200, 0)


@pytest.mark.parametrize("view", VIEWS)
def test_a_token_in_the_form_passes(loop_runner: LoopRunner, view: Any) -> None:
    with CSRF:
        assert loop_runner(post(view)) == (200, 1)


@pytest.mark.parametrize("view", VIEWS)
def test_a_token_in_the_form_passes_beside_a_wrong_one_in_the_header(
    loop_runner: LoopRunner, view: Any
) -> None:
    with CSRF:
        assert loop_runner(post(view, x_csrftoken="b" * 32)) == (200, 1)


@pytest.mark.parametrize("view", VIEWS)
def test_no_cookie_is_refused_without_reading(loop_runner: LoopRunner, view: Any) -> None:
    with CSRF:
        assert loop_runner(post(view, x_csrftoken=SECRET, cookie="")) == (403, 0)


@pytest.mark.parametrize(
    "headers", [{"sec_fetch_site": "same-origin"}, {"origin": "http://testserver"}]
)
def test_a_streaming_view_takes_the_browsers_word(
    loop_runner: LoopRunner, headers: dict[str, str]
) -> None:
    with CSRF:
        assert loop_runner(post(streaming_view, body=b"x", cookie="", **headers)) == (200, 0)
        assert loop_runner(post(sync_view, body=b"x", cookie="", **headers)) == (403, 0)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
        {"sec_fetch_site": "cross-site", "origin": "http://testserver"},
        {"origin": "http://evil.example"},
        {"origin": "https://testserver"},
        {"origin": "null"},
        {},
    ],
)
@pytest.mark.parametrize("view", VIEWS)
def test_another_origin_is_refused(
    loop_runner: LoopRunner, view: Any, headers: dict[str, str]
) -> None:
    with CSRF:
        status, _ = loop_runner(post(view, body=b"csrfmiddlewaretoken=wrong", **headers))
    assert status == 403
