"""Clients that leave, servers that stop, and what must be true after it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core import signals
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from django_loom import await_, in_thread, on_loop
from django_loom.asgi import get_asgi_application
from django_loom.http import body as body_module
from django_loom.testing import cancel_before, cancel_with_result, cancelled_at
from tests.http.asgi import Connection, Message, chunk, end, scope_of, start
from tests.loops import LoopRunner
from tests.polling import aeventually

events: list[Any] = []
begun, go = threading.Event(), threading.Event()


async def async_view(request: HttpRequest) -> HttpResponse:
    events.append("begun")
    try:
        await asyncio.Event().wait()
    finally:
        events.append("ended")
    raise AssertionError("never here")


@on_loop
def loop_view(request: HttpRequest) -> HttpResponse:
    response: HttpResponse = await_(async_view(request))
    return response


@in_thread
def thread_view(request: HttpRequest) -> HttpResponse:
    events.append("begun")
    begun.set()
    assert go.wait(30)
    events.append("ended")
    return HttpResponse("nobody waits for it")


def streams_slowly(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"part"
        await async_view(request)

    return StreamingHttpResponse(parts())


@on_loop
def streams_on_loop(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        yield b"part"
        loop_view(request)

    return StreamingHttpResponse(parts())


@in_thread
def streams_in_thread(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        try:
            yield b"part"
            thread_view(request)
            yield b"late"
        finally:
            events.append("closed")

    return StreamingHttpResponse(parts())


async def swallows(request: HttpRequest) -> HttpResponse:
    try:
        await async_view(request)
    except asyncio.CancelledError:
        return HttpResponse("stays")
    raise AssertionError("never here")


async def reads(request: HttpRequest) -> HttpResponse:
    events.append(request)
    await asyncio.sleep(0)
    return HttpResponse(request.body)


async def file_error(request: HttpRequest) -> HttpResponse:
    raise ConnectionResetError("of the view's own")


async def streams_long(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        try:
            for _ in range(100):
                yield b"part"
        finally:
            events.append("closed")

    return StreamingHttpResponse(parts())


class Closed:
    """Parts that note their close()."""

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"part"])

    def close(self) -> None:
        events.append("closed")


@in_thread
def closes(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(Closed())


WAITING = [async_view, loop_view, thread_view, streams_slowly, streams_on_loop, streams_in_thread]
urlpatterns = [
    path(view.__name__, view)
    for view in [*WAITING, swallows, reads, file_error, streams_long, closes]
]
waiting_views = pytest.mark.parametrize("name", [view.__name__ for view in WAITING])


@pytest.fixture(autouse=True)
def our_urls(tmp_path: Path) -> Iterator[None]:
    events.clear()
    begun.clear()
    go.clear()
    with override_settings(
        ROOT_URLCONF=__name__,
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
        ALLOWED_HOSTS=["testserver"],
        FILE_UPLOAD_TEMP_DIR=str(tmp_path),
    ):
        yield


@pytest.fixture(autouse=True)
def ends() -> Iterator[list[str]]:
    """What was sent of request_started and request_finished."""
    sent: list[str] = []

    def started(**kwargs: Any) -> None:
        sent.append("started")

    def finished(**kwargs: Any) -> None:
        sent.append("finished")

    signals.request_started.connect(started)
    signals.request_finished.connect(finished)
    yield sent
    signals.request_started.disconnect(started)
    signals.request_finished.disconnect(finished)


async def serve(connection: Any, url: str, method: str = "GET", **headers: str) -> int:
    """Serve a request; the cancellations of its task that are left when it has ended."""
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    scope = scope_of(method, url, named)
    await get_asgi_application()(scope, connection.receive, connection.send)
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def until_it_waits(connection: Connection, name: str) -> None:
    await aeventually(lambda: "begun" in events)
    await connection.until(lambda: connection.receiving)
    if name.startswith("streams"):
        await connection.until(lambda: connection.parts == [b"part"])


@waiting_views
def test_a_client_that_leaves_cancels_its_view(
    loop_runner: LoopRunner, ends: list[str], name: str
) -> None:
    async def main() -> None:
        connection = Connection()
        task = asyncio.create_task(serve(connection, f"/{name}"))
        await until_it_waits(connection, name)
        connection.leave()
        if "thread" in name:
            for _ in range(20):
                await asyncio.sleep(0)
            assert not task.done(), "its thread is still in the view"
            go.set()
        assert await task == 0
        assert connection.parts == ([b"part"] if name.startswith("streams") else [])
        assert not connection.complete
        assert connection.overlaps == 0
        assert events[:2] == ["begun", "ended"]

    loop_runner(main)
    assert ends == ["started", "finished"]
    assert "closed" in events or name != "streams_in_thread"


@waiting_views
@pytest.mark.parametrize("left", [False, True])
def test_a_server_that_cancels_is_told_that_it_did(
    loop_runner: LoopRunner, ends: list[str], name: str, left: bool
) -> None:
    async def main() -> None:
        connection = Connection()
        task = asyncio.create_task(serve(connection, f"/{name}"))
        await until_it_waits(connection, name)
        if left:
            connection.leave()
            await connection.until(lambda: connection.taken)
        go.set()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    loop_runner(main)
    assert ends == ["started", "finished"]


def test_a_view_that_goes_on_leaves_the_task_uncancelled(
    loop_runner: LoopRunner, ends: list[str]
) -> None:
    async def main() -> None:
        connection = Connection()
        task = asyncio.create_task(serve(connection, "/swallows"))
        await until_it_waits(connection, "swallows")
        connection.leave()
        assert await task == 0
        assert connection.content == b"stays"

    loop_runner(main)
    assert ends == ["started", "finished"]


def test_a_stream_is_closed_in_its_own_thread_while_views_have_all_of_theirs(
    loop_runner: LoopRunner, ends: list[str]
) -> None:
    async def main() -> None:
        application = get_asgi_application()
        one, other = Held(), Connection()
        task = start(one, "GET", "/closes", application=application)
        await one.until(lambda: one.parts == [b"part"])
        holding = start(other, "GET", "/thread_view", application=application)
        await aeventually(begun.is_set)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([task])
        assert task.cancelled()
        assert sorted(events) == ["begun", "closed"]
        go.set()
        await holding

    with override_settings(LOOM={"THREADS": 1}):
        loop_runner(main)
    assert ends.count("finished") == 2


def test_a_stream_that_is_not_begun_is_closed_though_no_thread_is_free(
    loop_runner: LoopRunner, ends: list[str]
) -> None:
    """And its task cancelled again and again while it waits for one."""

    async def main() -> None:
        application = get_asgi_application()
        one, other = Connection(), Connection()
        waits = asyncio.Event()

        async def send(message: Message) -> None:
            one.sent.append(message)
            waits.set()
            await asyncio.Event().wait()

        scope = scope_of("HEAD", "/closes")
        task = asyncio.create_task(application(scope, one.receive, send))
        await waits.wait()
        holding = start(other, "GET", "/thread_view", application=application)
        await aeventually(begun.is_set)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert events == ["begun"]
        assert not task.done()
        go.set()
        await asyncio.wait([task])
        assert task.cancelled()
        assert events.count("closed") == 1
        await holding

    with override_settings(LOOM={"THREADS": 1}):
        loop_runner(main)
    assert ends.count("finished") == 2


class Held(Connection):
    """Never done with a part."""

    async def send(self, message: Message) -> None:
        await super().send(message)
        if message.get("more_body"):
            await asyncio.Event().wait()


class EndsEarly(Connection):
    """Says that the request is over while the last message is still being sent."""

    async def send(self, message: Message) -> None:
        await super().send(message)
        if self.complete:
            for _ in range(20):
                await asyncio.sleep(0)
            events.append("sent")


@pytest.mark.parametrize("url", ["/reads", "/streams_long", "/nowhere"])
def test_the_end_of_the_response_is_not_the_clients_leave(
    loop_runner: LoopRunner, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setattr(body_module, "WATCH_AFTER_SECONDS", 0.0)

    async def main() -> None:
        connection = EndsEarly(end())
        task = asyncio.create_task(serve(connection, url))
        assert await task == 0
        assert events[-1] == "sent"

    loop_runner(main)


class Breaks(Connection):
    """Fails to send, from a message on."""

    def __init__(self, at: int) -> None:
        super().__init__(end())
        self.at = at

    async def send(self, message: Message) -> None:
        if len(self.sent) == self.at:
            raise ConnectionResetError("gone")
        await super().send(message)


@pytest.mark.parametrize("at", [0, 1, 2, 101])
def test_a_send_that_fails_ends_the_request_quietly(
    loop_runner: LoopRunner, ends: list[str], at: int
) -> None:
    async def main() -> None:
        connection = Breaks(at)
        assert await asyncio.create_task(serve(connection, "/streams_long")) == 0
        assert len(connection.sent) == at

    loop_runner(main)
    assert ends == ["started", "finished"]
    assert events == (["closed"] if at > 0 else [])


def test_an_os_error_of_the_view_is_an_error(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        connection = Connection()
        await asyncio.create_task(serve(connection, "/file_error"))
        assert connection.status == 500

    loop_runner(main)


@pytest.mark.parametrize("cancel", [cancel_before, cancel_with_result])
@pytest.mark.parametrize("url", ["/reads", "/streams_long"])
def test_cancelled_at_each_suspension(
    loop_runner: LoopRunner, ends: list[str], tmp_path: Path, cancel: Any, url: str
) -> None:
    """Whenever it comes: the signals in pairs, the body closed, no file left."""
    content = b"x" * 3000

    class Slow(Connection):
        async def receive(self) -> Message:
            await asyncio.sleep(0)
            return await super().receive()

        async def send(self, message: Message) -> None:
            await asyncio.sleep(0)
            await super().send(message)

    async def main() -> None:
        step = 0
        while True:
            step += 1
            connection = Slow(chunk(content), end(content))

            async def operation(connection: Connection = connection) -> int:
                return await serve(connection, url, "POST", content_length="6000")

            task, steps = await cancelled_at(operation, step.__eq__, cancel)
            assert len(ends) == 2 * ends.count("started") == 2 * ends.count("finished")
            assert connection.overlaps == 0
            assert all(file.closed for file in (request._stream for request in requests()))
            if steps < step:
                assert not task.cancelled()
                break
        assert step > 4

    def requests() -> list[Any]:
        return [event for event in events if isinstance(event, HttpRequest)]

    with override_settings(FILE_UPLOAD_MAX_MEMORY_SIZE=1000):
        loop_runner(main)
    assert list(tmp_path.iterdir()) == []
