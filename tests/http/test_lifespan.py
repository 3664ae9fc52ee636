"""The lifespan protocol: contexts, state, failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

from django_loom import in_thread
from django_loom.exceptions import UnsupportedProtocol
from django_loom.http.handler import LoomHandler
from django_loom.http.hooks import DatabaseHooks
from django_loom.http.lifespan import Lifespan, no_lifespan, serve_lifespan
from tests.http.asgi import get
from tests.loops import LoopRunner

STARTUP, SHUTDOWN = {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}


@in_thread
def view(request: HttpRequest) -> HttpResponse:
    return HttpResponse("view")


urlpatterns = [path("", view)]


class Server:
    def __init__(self) -> None:
        self.scope: dict[str, Any] = {"type": "lifespan"}
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def tell(self, message: dict[str, Any]) -> dict[str, Any]:
        await self.messages.put(message)
        return await self.sent.get()

    def serve(self, context: Any) -> asyncio.Task[None]:
        serving = serve_lifespan(context, self.scope, self.messages.get, self.sent.put)
        return asyncio.create_task(serving)

    def run(self, application: Any) -> asyncio.Task[None]:
        serving = application(self.scope, self.messages.get, self.sent.put)
        return asyncio.create_task(serving)


@asynccontextmanager
async def context(
    events: list[str], *, state: Mapping[str, Any] | None = None, fails: str = ""
) -> AsyncIterator[Mapping[str, Any] | None]:
    events.append("enter")
    if fails == "enter":
        raise ValueError("not today")
    yield state
    events.append("leave")
    if fails == "leave":
        raise ValueError("not today")


def test_a_context_lasts_from_startup_to_shutdown(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        server, events = Server(), []
        task = server.serve(context(events, state={"answer": 42}))
        assert await server.tell(STARTUP) == {"type": "lifespan.startup.complete"}
        assert events == ["enter"]
        assert server.scope["state"] == {"answer": 42}
        assert await server.tell(SHUTDOWN) == {"type": "lifespan.shutdown.complete"}
        assert events == ["enter", "leave"]
        await task

    loop_runner(main)


def test_state_is_added_to_the_servers(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        server = Server()
        server.scope["state"] = state = {"of": "the server"}
        task = server.serve(context([], state={"answer": 42}))
        await server.tell(STARTUP)
        assert state == {"of": "the server", "answer": 42}
        await server.tell(SHUTDOWN)
        await task

    loop_runner(main)


@pytest.mark.parametrize(("fails", "state"), [("enter", "startup"), ("leave", "shutdown")])
def test_failures_are_told_and_logged(
    loop_runner: LoopRunner, caplog: pytest.LogCaptureFixture, fails: str, state: str
) -> None:
    async def main() -> None:
        server = Server()
        task = server.serve(context([], fails=fails))
        answer = await server.tell(STARTUP)
        if fails == "leave":
            answer = await server.tell(SHUTDOWN)
        assert answer == {"type": f"lifespan.{state}.failed", "message": "not today"}
        await task

    loop_runner(main)
    assert [record.message for record in caplog.records] == [f"The application's {state} failed"]


def test_a_server_that_is_cancelled_leaves_the_context(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        server, left = Server(), []

        @asynccontextmanager
        async def noting() -> AsyncIterator[None]:
            try:
                yield
            finally:
                left.append(True)

        task = server.serve(noting())
        await server.tell(STARTUP)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert left == [True]

    loop_runner(main)


HOOKS = DatabaseHooks(lambda alias: lambda view: view, nullcontext, lambda: None)


def handler(events: list[str], lifespan: Lifespan = no_lifespan) -> LoomHandler:
    @asynccontextmanager
    async def pools(application: Any) -> AsyncIterator[None]:
        events.append("pools open")
        yield
        events.append("pools close")

    return LoomHandler(HOOKS, (pools, lifespan))


def test_the_pools_are_open_for_as_long_as_the_users_context(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        events: list[str] = []
        given = []

        def lifespan(application: Any) -> Any:
            given.append(application)
            return context(events)

        server, application = Server(), handler(events, lifespan)
        task = server.run(application)
        await server.tell(STARTUP)
        await server.tell(SHUTDOWN)
        await task
        assert events == ["pools open", "enter", "leave", "pools close"]
        assert given == [application]

    loop_runner(main)


def test_the_pools_are_closed_if_the_users_context_fails(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        events: list[str] = []

        @asynccontextmanager
        async def pools(application: Any) -> AsyncIterator[None]:
            try:
                yield
            finally:
                events.append("pools close")

        server = Server()
        failing = LoomHandler(HOOKS, (pools, lambda application: context([], fails="enter")))
        task = server.run(failing)
        assert (await server.tell(STARTUP))["type"] == "lifespan.startup.failed"
        await task
        assert events == ["pools close"]

    loop_runner(main)


def test_an_application_may_be_served_again(loop_runner: LoopRunner) -> None:
    """As tests do that run the lifespan around each of them."""

    async def main() -> None:
        application = handler([])
        for _ in range(2):
            server = Server()
            task = server.run(application)
            await server.tell(STARTUP)
            assert (await get("/", application=application)).content == b"view"
            await server.tell(SHUTDOWN)
            await task

    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[], ALLOWED_HOSTS=["*"]):
        loop_runner(main)


def test_other_protocols_are_refused(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        with pytest.raises(UnsupportedProtocol, match="'websocket'"):
            await handler([])({"type": "websocket"}, None, None)  # type: ignore[arg-type]

    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[]):
        loop_runner(main)
