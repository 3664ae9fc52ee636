"""What the sites share: one work as each kind of view, and visitors that come all at once."""

from __future__ import annotations

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.urls import URLPattern, path

from tests.http.client import Browser

STOCK = os.environ.get("PACKAGES_WORLD") == "stock"
KINDS = ["loop", "thread", "async"]
STREAMS = ["loop-stream", "thread-stream"]
VISITORS = 24

Meet = Callable[[], None]
Work = Callable[[HttpRequest, Meet], Any]
Parts = Callable[[HttpRequest, Meet], Iterator[Any]]


class Meeting:
    """Where the requests of one round wait for each other, as often as they like."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self.expected = set(numbers)
        self.times = dict.fromkeys(self.expected, 0)
        self.complete: dict[int, asyncio.Event] = defaultdict(asyncio.Event)

    async def arrive(self, number: int) -> None:
        self.times[number] += 1
        time = self.times[number]
        self._look()
        async with asyncio.timeout(20):
            await self.complete[time].wait()

    def answered(self, number: int) -> None:
        """Do not wait for a request that is over, as one that failed is early."""
        self.expected.discard(number)
        self._look()

    def _look(self) -> None:
        for time in range(1, max(self.times.values()) + 1):
            if all(self.times[number] >= time for number in self.expected):
                self.complete[time].set()


meeting: Meeting


def number_of(request: HttpRequest) -> int:
    return int(request.GET["visitor"])


def views(work: Work) -> list[URLPattern]:
    """The work in a synchronous view on the loop, in one in a thread, and from an async view."""

    def answer(request: HttpRequest) -> JsonResponse:
        here, number = meeting, number_of(request)
        meet = async_to_sync(here.arrive)
        return JsonResponse(work(request, lambda: meet(number)), safe=False)

    def on_the_loop(request: HttpRequest) -> JsonResponse:
        return answer(request)

    def in_a_thread(request: HttpRequest) -> JsonResponse:
        return answer(request)

    async def async_view(request: HttpRequest) -> JsonResponse:
        return await sync_to_async(answer)(request)

    if not STOCK:
        import django_loom

        on_the_loop = django_loom.on_loop(on_the_loop)
        in_a_thread = django_loom.in_thread(in_a_thread)
    kinds = zip(KINDS, [on_the_loop, in_a_thread, async_view], strict=True)
    return [path(f"{kind}/", each) for kind, each in kinds]


def streams(parts: Parts) -> list[URLPattern]:
    """The work as a synchronous iterator, of which the parts are streamed as a list."""

    def stream(request: HttpRequest) -> StreamingHttpResponse:
        here, number = meeting, number_of(request)
        meet = async_to_sync(here.arrive)

        def content() -> Iterator[str]:
            mark = "["
            for part in parts(request, lambda: meet(number)):
                yield mark + json.dumps(part)
                mark = ","
            yield "]"

        return StreamingHttpResponse(content())

    on_the_loop = in_a_thread = stream
    if not STOCK:
        import django_loom

        on_the_loop = django_loom.on_loop(stream)
        in_a_thread = django_loom.in_thread(stream)
    kinds = zip(STREAMS, [on_the_loop, in_a_thread], strict=True)
    return [path(f"{kind}/", each) for kind, each in kinds]


def psycopg_address(database: dict[str, Any]) -> dict[str, Any]:
    """An entry of DATABASES as psycopg's arguments."""
    names = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD"}
    address = {key: database[name] for key, name in names.items()}
    return {"dbname": database["NAME"], "autocommit": True, **address}


class Visits:
    """Sends requests, and notes what was expected and what came."""

    def __init__(self, application: Any) -> None:
        self.application = application
        self.findings: list[tuple[str, Any, Any]] = []

    def check(self, what: str, expected: Any, got: Any) -> None:
        self.findings.append((what, expected, got))

    async def in_sync(self, function: Callable[[], Any]) -> Any:
        """What a synchronous function returns, outside any request."""
        return await sync_to_async(function)()

    async def outside(self, query: str) -> list[list[Any]]:
        """The rows as they are committed, over a connection that Django knows nothing of."""
        import psycopg

        address = psycopg_address(settings.DATABASES["default"])
        async with await psycopg.AsyncConnection.connect(**address) as connection:
            cursor = await connection.execute(query)
            return [list(row) for row in await cursor.fetchall()]

    async def each_kind(
        self,
        what: str,
        expected: Callable[[int], Any],
        kinds: Iterable[str] = KINDS,
        **options: Any,
    ) -> dict[str, list[Any]]:
        """Let all visitors come to each kind of view: each finds what is expected for it."""
        answers = {kind: await self.at_once(kind, **options) for kind in kinds}
        for kind, given in answers.items():
            self.check(f"{what} ({kind})", [expected(each) for each in range(VISITORS)], given)
        return answers

    async def at_once(
        self,
        kind: str,
        visitors: Iterable[int] = range(VISITORS),
        *,
        method: str = "GET",
        host: Callable[[int], str] = lambda number: "testserver",
    ) -> list[Any]:
        """What a kind of view answers to requests that are all in their views at one moment."""
        global meeting
        numbers = list(visitors)
        here = meeting = Meeting(numbers)

        async def visit(number: int) -> Any:
            browser = Browser(self.application)
            url = f"/{kind}/?visitor={number}"
            try:
                answer = await browser.send(method, url, headers={"host": host(number)})
            finally:
                here.answered(number)
            return json.loads(answer.body) if answer.status == 200 else f"status {answer.status}"

        return await asyncio.gather(*map(visit, numbers))
