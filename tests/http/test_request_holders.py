"""Messages about connections name the request that has them, and the user's own lines."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path
from django.views import View

import django_loom
from django_loom import in_thread, on_loop, run_sync
from django_loom.asgi import get_asgi_application
from django_loom.exceptions import PoolTimeout
from tests.db.support import aask, ask, in_use, second_alias
from tests.http.asgi import Connection, start
from tests.loops import LoopRunner
from tests.polling import aeventually

pytestmark = pytest.mark.usefixtures("db_tables")
HERE = __file__
ALIAS = "default_again"

entered, done = asyncio.Event(), asyncio.Event()
lines: list[int] = []


def line_here() -> int:
    """The number of the line that calls this."""
    return sys._getframe(1).f_lineno


async def meet() -> None:
    entered.set()
    await done.wait()


def wait(request: HttpRequest) -> HttpResponse:
    async_to_sync(meet)()
    return HttpResponse()


async def wait_async(request: HttpRequest) -> HttpResponse:
    await meet()
    return HttpResponse()


def query(request: HttpRequest) -> HttpResponse:
    with transaction.atomic(ALIAS):
        return wait(request)


async def query_async(request: HttpRequest) -> HttpResponse:
    async with django_loom.atomic(ALIAS):
        return await wait_async(request)


class QueryView(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return await query_async(request)


def enter_and_forget(request: HttpRequest) -> HttpResponse:
    lines.append(line_here() + 1)
    transaction.atomic(ALIAS).__enter__()
    ask("SELECT 1", using=ALIAS)
    return HttpResponse()


async def enter_and_forget_async(request: HttpRequest) -> HttpResponse:
    return await run_sync(enter_and_forget, request)


VIEWS: dict[str, Callable[..., Any]] = {
    "wait-loop": on_loop(wait),
    "wait-thread": in_thread(wait),
    "wait-async": wait_async,
    "query-loop": on_loop(query),
    "query-thread": in_thread(query),
    "query-async": query_async,
    "query-class": QueryView.as_view(),
    "partial": partial(query_async),
    "forget-loop": on_loop(enter_and_forget),
    "forget-thread": in_thread(enter_and_forget),
    "forget-async": enter_and_forget_async,
}
urlpatterns = [path(name, view) for name, view in VIEWS.items()]


def setting_middleware(get_response: Any) -> Any:
    """Has a connection for the whole request, from its own line on."""

    def middleware(request: HttpRequest) -> Any:
        ask("SELECT set_config('loom.tag', 'x', false)", using=ALIAS)
        return get_response(request)

    return middleware


@pytest.fixture(autouse=True)
def site() -> Iterator[None]:
    global entered, done
    entered, done = asyncio.Event(), asyncio.Event()
    lines.clear()
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[], ALLOWED_HOSTS=["testserver"]):
        yield


@pytest.fixture
def full_pool() -> Iterator[None]:
    with second_alias(OPTIONS={"pool": {"max_size": 1, "timeout": 0.02}}):
        yield


@pytest.fixture
def atomic_requests(full_pool: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings[ALIAS], "ATOMIC_REQUESTS", True)


async def serve(url: str, connection: Connection) -> None:
    """As a server does, with an application of somebody's around ours."""
    application = get_asgi_application()

    async def wrapper(scope: Any, receive: Any, send: Any) -> None:
        await application(scope, receive, send)

    await start(connection, "GET", url, application=wrapper)


async def holder(url: str) -> str:
    """Who holds the connection while a request waits, in the words of the error."""
    connection = Connection()
    task = asyncio.create_task(serve(url, connection))
    await entered.wait()
    with pytest.raises(PoolTimeout) as caught:
        await aask("SELECT 1", using=ALIAS)
    done.set()
    await task
    assert connection.status == 200
    (line,) = [each for each in str(caught.value).splitlines() if "held for" in each]
    return line


@pytest.mark.usefixtures("atomic_requests")
@pytest.mark.parametrize("place", ["loop", "thread", "async"])
def test_the_transaction_of_a_whole_view(loop_runner: LoopRunner, place: str) -> None:
    said = loop_runner(holder, f"/wait-{place}?secret")
    view = "wait_async" if place == "async" else "wait"
    who, _, where = said.partition(f" for GET /wait-{place} ({__name__}.{view})")
    assert "held for" in who
    if place == "thread":
        assert not where  # not the executor's
    else:
        assert where.startswith(f", now at {HERE}:")
        assert where.endswith(" in meet" if place == "async" else " in wait")


@pytest.mark.usefixtures("full_pool")
@pytest.mark.parametrize(
    ("name", "view", "function"),
    [
        ("query-loop", f"{__name__}.query", "query"),
        ("query-thread", f"{__name__}.query", "query"),
        ("query-async", f"{__name__}.query_async", "query_async"),
        ("query-class", f"{__name__}.QueryView", "query_async"),
        ("partial", "functools.partial", "query_async"),
    ],
)
def test_a_transaction_in_a_view(
    loop_runner: LoopRunner, name: str, view: str, function: str
) -> None:
    said = loop_runner(holder, f"/{name}")
    assert f" for GET /{name} ({view}), taken at {HERE}:" in said
    assert said.endswith(f" in {function}")


@pytest.mark.usefixtures("full_pool")
@override_settings(MIDDLEWARE=[f"{__name__}.setting_middleware"])
@pytest.mark.parametrize("place", ["loop", "thread", "async"])
def test_a_connection_that_a_middleware_has_taken(loop_runner: LoopRunner, place: str) -> None:
    assert f" for GET /wait-{place} ({__name__}.wait" in loop_runner(holder, f"/wait-{place}")


@pytest.mark.usefixtures("atomic_requests")
@pytest.mark.parametrize("place", ["loop", "thread", "async"])
def test_a_block_that_was_entered_by_hand(
    loop_runner: LoopRunner, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        connection = Connection()
        await serve(f"/forget-{place}", connection)
        assert connection.status == 200
        await aeventually(lambda: in_use(ALIAS) == 0)

    with caplog.at_level(logging.WARNING, "django_loom"):
        loop_runner(main)
    (warning,) = [each.getMessage() for each in caplog.records]
    view = "enter_and_forget_async" if place == "async" else "enter_and_forget"
    holder = f" for GET /forget-{place} ({__name__}.{view})"
    assert f"{holder}, taken at {HERE}:{lines[0]} in enter_and_forget." in warning
    assert "was entered and never left" in warning


@pytest.mark.usefixtures("full_pool")
@override_settings(MIDDLEWARE=[f"{__name__}.waiting_middleware"])
def test_a_request_without_a_view_yet_and_with_a_path_that_would_be_two_lines(
    loop_runner: LoopRunner,
) -> None:
    said = loop_runner(holder, "/a\nb" + "c" * 1000)
    assert " for GET /a\\nb" in said
    assert "c" * 300 not in said
    assert ", taken at" in said


def waiting_middleware(get_response: Any) -> Any:
    def middleware(request: HttpRequest) -> Any:
        return query(request)

    return middleware
