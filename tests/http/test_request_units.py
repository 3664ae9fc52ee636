"""Each request is a unit of work: all of its code is in there, and no other request's."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core import signals
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.test import override_settings
from django.urls import path

from django_loom import in_thread, on_loop, run_sync
from django_loom.asgi import get_asgi_application
from django_loom.bridge import Unit, current_unit
from django_loom.http.request_unit import RequestUnit
from tests.http.asgi import Connection, scope_of, start
from tests.loops import LoopRunner

REQUESTS = 20
number: contextvars.ContextVar[str] = contextvars.ContextVar("number", default="")
seen: dict[str, list[tuple[str, Unit | None, bool]]] = {}
here = 0
all_here = asyncio.Event()


def note(where: str) -> None:
    unit = current_unit()
    seen.setdefault(number.get(), []).append((where, unit, unit is None or unit.ended))


async def meet() -> None:
    """Return when all requests have come so far."""
    global here
    here += 1
    if here >= REQUESTS:
        all_here.set()
    await all_here.wait()


def middleware(get_response: Any) -> Any:
    def call(request: HttpRequest) -> Any:
        number.set(request.GET["n"])
        note("middleware")
        response = get_response(request)
        note("middleware, after")
        return response

    return call


def view(request: HttpRequest) -> HttpResponse:
    note("view")
    async_to_sync(meet)()
    note("view, after a wait")
    return HttpResponse()


async def async_view(request: HttpRequest) -> HttpResponse:
    async def child() -> None:
        await meet()
        note("child task")

    note("view")
    task = asyncio.create_task(child())
    await sync_to_async(note)("sync_to_async")
    await sync_to_async(note, thread_sensitive=False)("sync_to_async, any thread")
    await run_sync(note, "run_sync")
    await asyncio.to_thread(note, "to_thread")
    await asyncio.gather(task)
    note("view, after a wait")
    return HttpResponse()


def template_view(request: HttpRequest) -> HttpResponse:
    note("view")

    def look() -> str:
        note("template")
        async_to_sync(meet)()
        note("template, after a wait")
        return ""

    return TemplateResponse(request, engines["django"].from_string("{{ look }}"), {"look": look})


def stream_view(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        note("first part")
        yield b"one"
        async_to_sync(meet)()
        note("second part")
        yield b"two"

    note("view")
    return StreamingHttpResponse(parts())


async def async_stream_view(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        note("first part")
        yield b"one"
        await meet()
        note("second part")
        yield b"two"

    note("view")
    return StreamingHttpResponse(parts())


def failing_view(request: HttpRequest) -> HttpResponse:
    view(request)
    raise ValueError("mine")


VIEWS = {
    "loop": on_loop(view),
    "thread": in_thread(view),
    "async": async_view,
    "loop-template": on_loop(template_view),
    "thread-template": in_thread(template_view),
    "loop-stream": on_loop(stream_view),
    "thread-stream": in_thread(stream_view),
    "async-stream": async_stream_view,
    "loop-failing": on_loop(failing_view),
    "thread-failing": in_thread(failing_view),
}
urlpatterns = [path(name, each) for name, each in VIEWS.items()]


@pytest.fixture(autouse=True)
def site() -> Iterator[None]:
    global here, all_here
    seen.clear()
    here, all_here = 0, asyncio.Event()

    def finished(**named: Any) -> None:
        note("request_finished")

    def failed(**named: Any) -> None:
        note("got_request_exception")

    signals.request_finished.connect(finished)
    signals.got_request_exception.connect(failed)
    with override_settings(
        ROOT_URLCONF=__name__,
        MIDDLEWARE=[f"{__name__}.middleware"],
        ALLOWED_HOSTS=["testserver"],
        LOOM={"THREADS": REQUESTS},
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    ):
        yield
    signals.request_finished.disconnect(finished)
    signals.got_request_exception.disconnect(failed)


@pytest.mark.parametrize("name", VIEWS)
def test_many_at_once_are_each_in_their_own(loop_runner: LoopRunner, name: str) -> None:
    async def main() -> None:
        application = get_asgi_application()
        connections = [Connection({"type": "http.request"}) for _ in range(REQUESTS)]
        await asyncio.gather(
            *(
                start(each, "GET", f"/{name}?n={n}", application=application)
                for n, each in enumerate(connections)
            )
        )
        expected = 500 if "failing" in name else 200
        assert {each.status for each in connections} == {expected}

    loop_runner(main)
    units = set()
    for each in seen.values():
        assert len({unit for _, unit, _ in each}) == 1, each
        assert not any(ended for _, _, ended in each), "it ends after all of them"
        assert [where for where, _, _ in each].count("request_finished") == 1
        assert ("got_request_exception" in {where for where, _, _ in each}) == ("failing" in name)
        (unit,) = {unit for _, unit, _ in each}
        assert unit is not None
        assert unit.ended
        units.add(unit)
    assert len(units) == len(seen) == REQUESTS


@pytest.mark.parametrize("name", ["loop", "async", "thread-stream", "loop-failing"])
def test_nothing_is_left_in_the_servers_task(loop_runner: LoopRunner, name: str) -> None:
    """Which may serve the next request of a connection, or its context be used again."""

    async def main() -> None:
        all_here.set()
        application = get_asgi_application()
        for n in range(3):
            connection = Connection({"type": "http.request"})
            scope = scope_of("GET", f"/{name}?n={n}")
            await application(scope, connection.receive, connection.send)
            assert current_unit() is None
        units = {unit for each in seen.values() for _, unit, _ in each}
        assert len(units) == 3

    loop_runner(main)


def test_the_server_is_told_of_the_end_outside_of_it(loop_runner: LoopRunner) -> None:
    """It may note the context of that call for the next request of the connection."""
    units: list[Unit | None] = []

    class Server(Connection):
        async def send(self, message: Any) -> None:
            await super().send(message)
            units.append(current_unit())

    async def main() -> None:
        all_here.set()
        for name in ("loop", "async", "loop-stream", "thread-stream"):
            server = Server({"type": "http.request"})
            await start(server, "GET", f"/{name}?n=1")
            assert units[-1] is None

    loop_runner(main)


def test_a_failing_end_is_logged_and_breaks_no_answer(
    loop_runner: LoopRunner, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ValueError("of a room")

    @on_loop
    def ends_badly(request: HttpRequest) -> HttpResponse:
        unit = current_unit()
        assert unit is not None
        unit.at_end(fail)
        return HttpResponse("sent")

    async def main() -> None:
        connection = Connection({"type": "http.request"})
        await start(connection, "GET", "/ends_badly?n=1")
        assert connection.content == b"sent"

    urls: Any = type("urls", (), {"urlpatterns": [path("ends_badly", ends_badly)]})
    with override_settings(ROOT_URLCONF=urls), caplog.at_level(logging.ERROR, "django_loom"):
        loop_runner(main)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "of a room"


@pytest.mark.parametrize("name", ["loop", "thread", "loop-stream", "thread-stream"])
def test_signals_and_view_share_a_context(loop_runner: LoopRunner, name: str) -> None:
    values: list[tuple[str, str]] = []
    mine: contextvars.ContextVar[str] = contextvars.ContextVar("mine", default="")

    def started(**named: Any) -> None:
        mine.set("of request_started")

    def finished(**named: Any) -> None:
        values.append((mine.get(), number.get()))

    async def main() -> None:
        all_here.set()
        await start(Connection({"type": "http.request"}), "GET", f"/{name}?n=7")
        assert mine.get() == ""

    signals.request_started.connect(started)
    signals.request_finished.connect(finished)
    try:
        loop_runner(main)
    finally:
        signals.request_started.disconnect(started)
        signals.request_finished.disconnect(finished)
    assert values == [("of request_started", "7")]


class Traced(RequestUnit):
    """What an observer keeps of each request."""

    __slots__ = ("log",)
    of_all: ClassVar[list[Traced]] = []

    def __enter__(self) -> None:
        super().__enter__()
        self.log = ["begins"]
        self.of_all.append(self)

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.log.append(f"ends with {self.view and self.view.__name__}, {error[0]}")


@pytest.mark.parametrize("name", VIEWS)
def test_an_observer_has_its_own(loop_runner: LoopRunner, name: str) -> None:
    """Of as many requests at once, each with what its view has noted."""
    Traced.of_all.clear()

    async def main() -> None:
        application = get_asgi_application()
        application.request_unit = Traced
        connections = [Connection({"type": "http.request"}) for _ in range(REQUESTS)]
        await asyncio.gather(
            *(
                start(each, "GET", f"/{name}?n={n}", application=application)
                for n, each in enumerate(connections)
            )
        )

    loop_runner(main)
    assert len(Traced.of_all) == REQUESTS
    assert {unit for each in seen.values() for _, unit, _ in each} == set(Traced.of_all)
    view = VIEWS[name].__name__
    assert [unit.log for unit in Traced.of_all] == [
        ["begins", f"ends with {view}, None"]
    ] * REQUESTS
