"""The threads of a request: none that it does not need, and a limit of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
from asgiref.sync import sync_to_async
from django.core.asgi import get_asgi_application as stock_application
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

from django_loom import reroute
from django_loom.asgi import get_asgi_application
from tests.http.asgi import Connection, get, start
from tests.http.handler_views import DEFAULT_MIDDLEWARE, events, site
from tests.loops import LoopRunner
from tests.polling import aeventually, eventually

HERE = __name__


async def hello(request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello")


async def threads_of_its_own(request: HttpRequest) -> HttpResponse:
    names = [await sync_to_async(threading.get_ident)() for _ in range(3)]
    names += await asyncio.gather(*[sync_to_async(threading.get_ident)() for _ in range(3)])
    events.append(set(names))
    return HttpResponse()


class OtherUrls:
    urlpatterns: list[Any] = []


urlpatterns = [path(view.__name__, view) for view in [hello, threads_of_its_own]]


@pytest.fixture(autouse=True)
def our_urls() -> Iterator[None]:
    with site(HERE):
        yield


def hops_and_threads(loop_runner: LoopRunner, application: Any, url: str) -> tuple[int, int]:
    hops = threads = 0
    started = threading.Thread.start

    def count_thread(self: threading.Thread) -> None:
        nonlocal threads
        threads += 1
        started(self)

    async def main() -> None:
        nonlocal hops
        loop = asyncio.get_running_loop()
        base: Any = type(loop)
        run_in_executor = base.run_in_executor

        def count_hop(self: Any, *args: Any) -> Any:
            nonlocal hops
            hops += 1
            return run_in_executor(self, *args)

        with (
            patch.object(base, "run_in_executor", count_hop),
            patch.object(threading.Thread, "start", count_thread),
        ):
            answer = await get(url, application=application)
        assert answer.content == b"hello"

    loop_runner(main)
    return hops, threads


SESSION = {"SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies"}


def test_no_hop_and_no_thread_where_stock_django_has_many(loop_runner: LoopRunner) -> None:
    with override_settings(MIDDLEWARE=DEFAULT_MIDDLEWARE, **SESSION):
        assert hops_and_threads(loop_runner, get_asgi_application(), "/hello") == (0, 0)
        reroute.uninstall()
        try:
            stock = hops_and_threads(loop_runner, stock_application(), "/hello")
        finally:
            reroute.install()
    assert stock == (15, 2)


def test_a_users_own_sync_to_async_has_one_thread_for_each_request(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        await asyncio.gather(*[get("/threads_of_its_own") for _ in range(3)])

    before = threading.active_count()
    loop_runner(main)
    assert [len(threads) for threads in events] == [1, 1, 1]
    assert threading.get_ident() not in set.union(*events)
    eventually(lambda: threading.active_count() <= before)  # nobody waits for a thread to end


def test_too_many_requests_for_the_threads(
    loop_runner: LoopRunner, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        application = get_asgi_application()
        begun, go = threading.Event(), threading.Event()

        def wait(request: HttpRequest) -> HttpResponse:
            begun.set()
            assert go.wait(30)
            return HttpResponse("done")

        with patch.object(OtherUrls, "urlpatterns", [path("", wait)]):
            first, second, third = [Connection() for _ in range(3)]
            running = [start(first, "GET", "/", application=application)]
            await aeventually(begun.is_set)
            running.append(start(second, "GET", "/", application=application))
            await aeventually(lambda: application.threads.statistics().pending_requests == 1)
            await start(third, "GET", "/", application=application)
            assert third.status == 503
            assert third.header("retry-after") == "1"
            go.set()
            await asyncio.gather(*running)
            assert [first.content, second.content] == [b"done", b"done"]
        assert application.threads.statistics().refused == 1

    limits = {"THREADS": 1, "THREAD_QUEUE": 1}
    with override_settings(ROOT_URLCONF=OtherUrls, LOOM=limits):
        loop_runner(main)
    assert any("503 for /: All 1 threads" in record.getMessage() for record in caplog.records)
