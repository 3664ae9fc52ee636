"""A stream that middleware has wrapped ends whole, in its request: the view's iterator, too."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.http import HttpRequest, StreamingHttpResponse
from django.test import override_settings
from django.urls import path
from django.utils.decorators import async_only_middleware

from django_loom import on_loop, run_sync
from tests.db.support import ask
from tests.http.asgi import Connection, start
from tests.loops import LoopRunner

pytestmark = pytest.mark.usefixtures("db_tables")
GZIP = "django.middleware.gzip.GZipMiddleware"
HERE = __name__
ends: list[str] = []


def search_path() -> str:
    return str(ask("SHOW search_path"))


async def parts() -> AsyncIterator[bytes]:
    try:
        while True:
            yield os.urandom(70_000)  # more than gzip keeps to itself
    finally:
        ends.append(await run_sync(search_path))


def sync_parts() -> Iterator[bytes]:
    try:
        while True:
            yield os.urandom(70_000)
    finally:
        ends.append(search_path())


class Parts:
    """Has no ``close()``, but its iterator has."""

    def __iter__(self) -> Iterator[bytes]:
        return sync_parts()


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts())


@on_loop
def sync_stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(sync_parts() if "generator" in request.GET else Parts())


async def three(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        for part in (b"1", b"2", b"3"):
            yield part

    return StreamingHttpResponse(parts())


urlpatterns = [path("async", stream), path("sync", sync_stream), path("three", three)]


def tenant(get_response: Callable[[HttpRequest], Any]) -> Any:
    def middleware(request: HttpRequest) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SET search_path TO ann")
        return get_response(request)

    return middleware


def wrapping(get_response: Callable[[HttpRequest], Any]) -> Any:
    async def wrapped(content: AsyncIterator[bytes], name: str) -> AsyncIterator[bytes]:
        try:
            async for part in content:
                yield part
        finally:
            ends.append(name)
            if name == "fails":
                raise ValueError("mine")

    def middleware(request: HttpRequest) -> Any:
        response = get_response(request)
        for name in ("inner", "fails", "outer"):
            response.streaming_content = wrapped(response.streaming_content, name)
        return response

    return middleware


def failing(get_response: Callable[[HttpRequest], Any]) -> Any:
    def wrapped(content: Iterator[bytes]) -> Iterator[bytes]:
        yield next(content)
        raise ValueError("mine")

    def middleware(request: HttpRequest) -> Any:
        response = get_response(request)
        response.streaming_content = wrapped(response.streaming_content)
        return response

    return middleware


class Client(Connection):
    """Takes some parts, and no more."""

    held = False

    async def send(self, message: Any) -> None:
        await super().send(message)
        if len(self.sent) > 3:
            self.held = True
            self._change()
            await asyncio.Event().wait()


async def left(url: str) -> Client:
    """Leave in the midst of a stream, and return when the application has."""
    client = Client({"type": "http.request"})
    task = start(client, "GET", url, headers=[("accept-encoding", "gzip")])
    await client.until(lambda: client.held)
    client.leave()
    await task
    return client


@pytest.fixture(autouse=True)
def site(request: pytest.FixtureRequest) -> Iterator[None]:
    ends.clear()
    middleware = [f"{HERE}.tenant", *request.param]
    with override_settings(ROOT_URLCONF=HERE, MIDDLEWARE=middleware, ALLOWED_HOSTS=["testserver"]):
        yield


@pytest.mark.parametrize("site", [[], [GZIP]], indirect=True, ids=["as it is", "gzip"])
@pytest.mark.parametrize("url", ["/async", "/sync", "/sync?generator"])
def test_it_ends_in_the_session_of_its_request(loop_runner: LoopRunner, url: str) -> None:
    async def main() -> None:
        await left(url)
        assert ends == ["ann"]

    loop_runner(main)


@pytest.mark.parametrize("site", [[f"{HERE}.wrapping"]], indirect=True)
def test_the_outermost_ends_first_and_what_an_error_keeps_is_the_loops_to_close(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="mine"):
            await left("/async")
        assert ends[:2] == ["outer", "fails"]

    loop_runner(main)


@pytest.mark.parametrize("site", [[f"{HERE}.failing"]], indirect=True)
@pytest.mark.parametrize("url", ["/sync", "/sync?generator"])
def test_an_error_of_what_is_around_it_ends_it(loop_runner: LoopRunner, url: str) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="mine"):
            await start(Connection({"type": "http.request"}), "GET", url)
        assert ends == ["ann"]

    loop_runner(main)


cached: list[bytes] = []


def caching(get_response: Callable[[HttpRequest], Any]) -> Any:
    """Reads all of the view's stream in a task of its own, whoever leaves."""

    async def from_queue(queue: asyncio.Queue[bytes | None]) -> AsyncIterator[bytes]:
        while (part := await queue.get()) is not None:
            yield part

    async def fill(content: AsyncIterator[bytes], queue: asyncio.Queue[bytes | None]) -> None:
        async for part in content:
            cached.append(part)
            await queue.put(part)
            await go_on[0].wait()
        cached.append(b"complete")
        await queue.put(None)

    async def middleware(request: HttpRequest) -> Any:
        response = await get_response(request)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        filling.append(asyncio.create_task(fill(response.streaming_content, queue)))
        response.streaming_content = from_queue(queue)
        return response

    return middleware


filling: list[asyncio.Task[None]] = []
go_on: list[asyncio.Event] = []


@pytest.mark.parametrize("site", [[f"{HERE}.caching_middleware"]], indirect=True)
def test_what_somebody_else_reads_is_left_alone(loop_runner: LoopRunner) -> None:
    """A truncated body would be taken for a complete one."""

    async def main() -> None:
        cached.clear()
        filling.clear()
        go_on[:] = [asyncio.Event()]
        client = Client({"type": "http.request"})
        task = start(client, "GET", "/three")
        await client.until(lambda: len(client.sent) > 1)
        client.leave()
        await task
        go_on[0].set()
        await asyncio.gather(*filling)
        assert cached == [b"1", b"2", b"3", b"complete"]

    loop_runner(main)


caching_middleware = async_only_middleware(caching)
