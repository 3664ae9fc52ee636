"""ATOMIC_REQUESTS, and what a view has of the database while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connection, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path

from django_loom import in_thread, on_loop, pool, run_sync
from tests import settings as settings_of_tests
from tests.http.asgi import Connection, get, start
from tests.http.handler_views import events, site
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.testapp.models import Author

HERE = __name__


def writes(request: HttpRequest) -> HttpResponse:
    Author.objects.create(name="written")
    return written(request)


def written(request: HttpRequest) -> HttpResponse:
    if "fail" in request.GET:
        raise ValueError("mine")
    return HttpResponse(str(connection.in_atomic_block))


@in_thread
def holds_a_lease(request: HttpRequest) -> HttpResponse:
    before = pool("default").statistics().used
    Author.objects.count()
    during = pool("default").statistics().used
    Author.objects.count()
    events.append((before, during, pool("default").statistics().used))
    return written(request)


@on_loop
def writes_on_loop(request: HttpRequest) -> HttpResponse:
    return writes(request)


async def writes_async(request: HttpRequest) -> HttpResponse:
    await Author.objects.acreate(name="written")
    return await run_sync(written, request)


async def writes_and_waits(request: HttpRequest) -> HttpResponse:
    await Author.objects.acreate(name="written")
    events.append("written")
    await asyncio.Event().wait()
    raise AssertionError("never here")


@transaction.non_atomic_requests
def writes_outside(request: HttpRequest) -> HttpResponse:
    return writes(request)


@transaction.non_atomic_requests
async def writes_outside_async(request: HttpRequest) -> HttpResponse:
    return await writes_async(request)


urlpatterns = [
    path(view.__name__, view)
    for view in [
        writes,
        holds_a_lease,
        writes_on_loop,
        writes_async,
        writes_and_waits,
        writes_outside,
        writes_outside_async,
    ]
]


@pytest.fixture(autouse=True)
def our_urls() -> Iterator[None]:
    with site(HERE):
        yield


@pytest.fixture
def atomic_requests(db_tables: None) -> Iterator[None]:
    with patch.dict(connections.settings["default"], ATOMIC_REQUESTS=True):
        yield


WRITERS = ["writes", "writes_on_loop", "writes_async"]
OUTSIDE = ["writes_outside", "writes_outside_async"]


@pytest.mark.usefixtures("atomic_requests")
@pytest.mark.parametrize("name", WRITERS + OUTSIDE)
@pytest.mark.parametrize("fails", [False, True])
def test_atomic_requests(loop_runner: LoopRunner, name: str, fails: bool) -> None:
    async def main() -> None:
        answer = await get(f"/{name}{'?fail' * fails}")
        assert answer.status == (500 if fails else 200)
        if not fails:
            assert answer.content == (b"False" if name in OUTSIDE else b"True")
        kept = name in OUTSIDE or not fails
        assert await Author.objects.acount() == int(kept)
        statistics = pool("default").statistics()
        assert statistics.used == 0

    loop_runner(main)


@pytest.mark.usefixtures("atomic_requests")
def test_an_atomic_request_that_is_cancelled_is_rolled_back(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        connection = Connection()
        task = start(connection, "GET", "/writes_and_waits")
        await connection.until(lambda: connection.receiving)
        await aeventually(lambda: events == ["written"])
        connection.leave()
        await task
        assert connection.sent == []
        assert await Author.objects.acount() == 0

    loop_runner(main)


@pytest.mark.usefixtures("db_tables")
@pytest.mark.parametrize("options", [{"pool": settings_of_tests.POOL}, {}])
def test_a_view_in_a_thread_has_a_lease_for_as_long_as_it_runs(
    loop_runner: LoopRunner, options: dict[str, Any]
) -> None:
    async def main() -> None:
        used = pool("default").statistics
        for url, expected in (("/holds_a_lease", 200), ("/holds_a_lease?fail", 500)):
            assert (await get(url)).status == expected
            assert used().used == 0
        assert events == [(0, 1, 1)] * 2

    with patch.dict(connections.settings["default"], OPTIONS=options):
        loop_runner(main)
