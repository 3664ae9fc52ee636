"""A client that leaves while tasks of its view read the body: that is nobody's error."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import anyio
import pytest
from django.core import signals
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse, UnreadablePostError
from django.test import override_settings
from django.urls import path

from django_loom import await_, in_thread, on_loop, streaming_body
from django_loom.exceptions import ClientDisconnected
from django_loom.http import body as body_module
from django_loom.http.disconnects import is_disconnect_only
from tests.http.asgi import Connection, chunk
from tests.http.test_cancellation import serve
from tests.loops import LoopRunner
from tests.polling import aeventually

Read = Callable[[], Awaitable[Any]]

DEEP = 5  # groups in one another: the reader is told before the cancellation gets to it
NEVER, AT_ONCE = 3600.0, 0.0

events: list[Any] = []


async def read_all(request: Any) -> None:
    try:
        async for _ in request.stream():
            events.append("read")
    finally:
        events.append("reader ended")


async def in_task_groups(read: Read, depth: int = DEEP) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(in_task_groups(read, depth - 1) if depth else _coroutine(read))
        group.create_task(asyncio.Event().wait())


async def in_anyio_groups(read: Read, depth: int = DEEP) -> None:
    async with anyio.create_task_group() as group:
        if depth:
            group.start_soon(in_anyio_groups, read, depth - 1)
        else:
            group.start_soon(read)
        group.start_soon(anyio.Event().wait)


async def in_gather(read: Read, depth: int = DEEP) -> None:
    inner = in_gather(read, depth - 1) if depth else read()
    await asyncio.gather(inner, asyncio.Event().wait())


async def awaited_at_the_end(read: Read) -> None:
    """A reader that nobody cancels, and that its view waits for."""
    reader = asyncio.create_task(_coroutine(read))
    try:
        await asyncio.Event().wait()
    finally:
        await reader


async def _coroutine(read: Read) -> None:
    await read()


WAYS = [in_task_groups, in_anyio_groups, in_gather, awaited_at_the_end]


def reads(way: Callable[[Read], Awaitable[None]]) -> Any:
    @streaming_body
    async def view(request: HttpRequest) -> HttpResponse:
        try:
            await way(lambda: read_all(request))
        finally:
            events.append("view ended")
        raise AssertionError("never here")

    return view


@on_loop
def on_loop_in_groups(request: HttpRequest) -> HttpResponse:
    try:
        await_(in_task_groups(lambda: read_all(request)))
    finally:
        events.append("view ended")
    raise AssertionError("never here")


@streaming_body
async def whole_in_groups(request: Any) -> HttpResponse:
    """Django has an error of its own for a body that cannot be read."""

    async def read() -> None:
        events.append("read")
        try:
            await request.aread()
        finally:
            events.append("reader ended")

    try:
        await in_task_groups(read)
    finally:
        events.append("view ended")
    raise AssertionError("never here")


@streaming_body
async def streams_from_groups(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        try:
            await in_task_groups(lambda: read_all(request))
        finally:
            events.append("view ended")
        yield b"never here"

    return StreamingHttpResponse(parts())


@in_thread
def reads_in_thread(request: HttpRequest) -> HttpResponse:
    try:
        while request.read(1):
            events.append("read")
    finally:
        events.extend(["reader ended", "view ended"])
    raise AssertionError("never here")


@streaming_body
async def catches(request: HttpRequest) -> HttpResponse:
    try:
        await in_task_groups(lambda: read_all(request))
    except* ClientDisconnected as group:
        events.append(group)
    return HttpResponse("stays")


@streaming_body
async def fails_as_well(request: HttpRequest) -> HttpResponse:
    async def fail() -> None:
        try:
            await read_all(request)
        finally:
            raise ValueError("of the view's own")

    await in_task_groups(fail)
    raise AssertionError("never here")


@streaming_body
async def in_background(request: HttpRequest) -> HttpResponse:
    """The reader outlives the request, and is no part of it."""

    async def read() -> None:
        try:
            await read_all(request)
        except ClientDisconnected as error:
            events.append(error)

    events.append(asyncio.create_task(read()))
    await asyncio.Event().wait()
    raise AssertionError("never here")


READING = {
    **{way.__name__: reads(way) for way in WAYS},
    **{
        view.__name__: view
        for view in (on_loop_in_groups, whole_in_groups, streams_from_groups, reads_in_thread)
    },
}
OTHERS = [catches, fails_as_well, in_background]
urlpatterns = [
    *[path(name, view) for name, view in READING.items()],
    *[path(view.__name__, view) for view in OTHERS],
]


@pytest.fixture(autouse=True)
def our_urls() -> Iterator[None]:
    events.clear()
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[], ALLOWED_HOSTS=["testserver"]):
        yield


@pytest.fixture
def failures() -> Iterator[list[Any]]:
    """What error trackers are told of."""
    told: list[Any] = []

    def note(**kwargs: Any) -> None:
        told.append(kwargs)

    signals.got_request_exception.connect(note)
    yield told
    signals.got_request_exception.disconnect(note)


@pytest.fixture(params=[NEVER, AT_ONCE], ids=["reader receives", "watch receives"])
def watch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "WATCH_AFTER_SECONDS", request.param)


async def leave_while_it_reads(name: str) -> tuple[Connection, int]:
    """Leave in the middle of a body; the cancellations that its task has when it has ended."""
    connection = Connection(chunk(b"x"))
    serving = asyncio.create_task(serve(connection, f"/{name}", "POST"))
    await aeventually(lambda: "read" in events and connection.receiving)
    for _ in range(10):
        await asyncio.sleep(0)  # the reader waits for the watch, where that receives
    connection.leave()
    return connection, await serving


async def nothing_is_left() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    gc.collect()  # a task whose error nobody has taken tells of it now


@pytest.mark.usefixtures("watch")
@pytest.mark.parametrize("name", READING)
def test_nothing_is_said_and_nothing_left(
    loop_runner: LoopRunner, caplog: pytest.LogCaptureFixture, failures: list[Any], name: str
) -> None:
    async def main() -> None:
        connection, cancellations = await leave_while_it_reads(name)
        assert cancellations == 0
        assert not connection.complete
        assert events[-2:] == ["reader ended", "view ended"]
        await nothing_is_left()

    loop_runner(main)
    assert caplog.record_tuples == []
    assert failures == []


@pytest.mark.usefixtures("watch")
def test_a_view_may_catch_what_its_reader_is_told(
    loop_runner: LoopRunner, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        _, cancellations = await leave_while_it_reads("catches")
        assert cancellations == 0
        assert isinstance(events[-1], ExceptionGroup)
        await nothing_is_left()

    loop_runner(main)
    assert caplog.record_tuples == []


@pytest.mark.usefixtures("watch")
def test_another_error_beside_it_is_told(
    loop_runner: LoopRunner, caplog: pytest.LogCaptureFixture, failures: list[Any]
) -> None:
    async def main() -> None:
        _, cancellations = await leave_while_it_reads("fails_as_well")
        assert cancellations == 0
        await nothing_is_left()

    loop_runner(main)
    (record,) = caplog.records
    assert (record.levelno, record.name) == (logging.ERROR, "django.request")
    assert len(failures) == 1


@pytest.mark.usefixtures("watch")
def test_a_reader_that_outlives_its_request_is_told(
    loop_runner: LoopRunner, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        _, cancellations = await leave_while_it_reads("in_background")
        assert cancellations == 0
        (reader,) = [event for event in events if isinstance(event, asyncio.Task)]
        await reader
        assert isinstance(events[-1], ClientDisconnected)
        await nothing_is_left()

    loop_runner(main)
    assert caplog.record_tuples == []


def test_what_is_a_disconnect_only() -> None:
    left, stopped = ClientDisconnected("left"), asyncio.CancelledError()
    unreadable = UnreadablePostError("left")
    unreadable.__cause__ = left
    assert is_disconnect_only(left)
    assert is_disconnect_only(unreadable)
    assert not is_disconnect_only(UnreadablePostError("the disk is full"))
    assert not is_disconnect_only(ConnectionResetError())
    inner = ExceptionGroup("", [left, unreadable])
    assert is_disconnect_only(BaseExceptionGroup("", [inner, stopped]))
    assert not is_disconnect_only(ExceptionGroup("", [inner, ValueError()]))
