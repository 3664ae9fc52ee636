"""Threads that the views of a request start: their connections go back, their session stays."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

from django_loom.asgi import get_asgi_application
from django_loom.db import serving
from tests.db.support import TAG, aask, ask, in_use
from tests.http.asgi import Connection, start
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables")


class Thread:
    """What a test and the code in its thread have in common."""

    executor: ThreadPoolExecutor
    tasks: list[asyncio.Task[Any]]
    begun: threading.Event
    answered: threading.Event
    seen: list[Any]


def write() -> None:
    Author.objects.create(name=f"{len(Thread.seen)}")
    with transaction.atomic():
        Author.objects.create(name=f"{len(Thread.seen)}, in a block")
        transaction.on_commit(lambda: Thread.seen.append("committed"))


async def in_executor(request: HttpRequest) -> HttpResponse:
    await asyncio.get_running_loop().run_in_executor(Thread.executor, write)
    return HttpResponse()


def around_the_answer() -> None:
    Thread.seen.append(ask(TAG))
    Thread.begun.set()
    assert Thread.answered.wait(30)
    Thread.seen.append(ask(TAG))


async def given_up(request: HttpRequest) -> HttpResponse:
    """As one that waits with a timeout."""
    run = sync_to_async(around_the_answer, thread_sensitive=False)
    if request.GET["how"] == "to_thread":
        run = lambda: asyncio.to_thread(around_the_answer)  # noqa: E731
    Thread.tasks.append(asyncio.create_task(run()))
    await aeventually(Thread.begun.is_set)
    return HttpResponse()


def tenant(get_response: Any) -> Any:
    def middleware(request: HttpRequest) -> Any:
        if "how" in request.GET:
            ask("SELECT set_config('loom.tag', 'tenant', false)")
        return get_response(request)

    return middleware


urlpatterns = [path("in_executor", in_executor), path("given_up", given_up)]


@pytest.fixture(autouse=True)
def site() -> Iterator[None]:
    Thread.tasks, Thread.seen = [], []
    Thread.begun, Thread.answered = threading.Event(), threading.Event()
    with (
        ThreadPoolExecutor(1) as Thread.executor,
        override_settings(
            ROOT_URLCONF=__name__,
            MIDDLEWARE=[f"{__name__}.tenant"],
            ALLOWED_HOSTS=["testserver"],
        ),
    ):
        yield


def test_a_thread_of_an_executor_holds_nothing_after_its_function(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        application = get_asgi_application()
        for _ in range(2):
            connection = Connection({"type": "http.request"})
            await start(connection, "GET", "/in_executor", application=application)
            assert connection.status == 200
            assert in_use() == 0
        assert serving.is_on()
        assert await Author.objects.acount() == 4

    loop_runner(main)
    assert Thread.seen == ["committed", "committed"]
    assert not serving.is_on()


def test_a_loop_serves_from_the_start_of_the_server(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        connection = Connection({"type": "lifespan.startup"})
        assert not serving.is_on()
        serve = get_asgi_application()({"type": "lifespan"}, connection.receive, connection.send)
        task = asyncio.create_task(serve)
        await connection.until(lambda: connection.sent)
        assert serving.is_on()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    loop_runner(main)


@pytest.mark.parametrize("how", ["sync_to_async", "to_thread"])
def test_a_function_that_outlives_its_request_keeps_its_session(
    loop_runner: LoopRunner, how: str
) -> None:
    async def main() -> None:
        application = get_asgi_application()
        connection = Connection({"type": "http.request"})
        await start(connection, "GET", f"/given_up?how={how}", application=application)
        assert connection.status == 200
        assert in_use() == 1
        Thread.answered.set()
        await asyncio.gather(*Thread.tasks)
        assert Thread.seen == ["tenant", "tenant"]
        await aeventually(lambda: in_use() == 0)
        assert await aask(TAG) in (None, "")

    loop_runner(main)
