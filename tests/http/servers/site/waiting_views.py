"""Views that wait, for a client that leaves or for the test's word."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse

from django_loom import on_loop, run_sync, streaming_body

from .models import Note
from .records import Record, record_of

LONG = 60.0  # seconds; no test waits so long


@contextmanager
def noted(request: HttpRequest) -> Iterator[Record]:
    """Note in the request's record how a block begins and ends."""
    record = record_of(request.META["QUERY_STRING"])
    record.notes.append("started")
    try:
        yield record
    except (asyncio.CancelledError, GeneratorExit, ExceptionGroup) as end:
        record.notes.append(type(end).__name__)
        raise
    finally:
        record.notes.append("finally")
        record.ended = time.monotonic()


def sleep_in_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("select pg_sleep(30)")


async def sleeping(request: HttpRequest) -> HttpResponse:
    with noted(request):
        await asyncio.sleep(LONG)
    return HttpResponse()


async def querying(request: HttpRequest) -> HttpResponse:
    with noted(request):
        await run_sync(sleep_in_database)
    return HttpResponse()


@on_loop
def querying_on_loop(request: HttpRequest) -> HttpResponse:
    with noted(request):
        sleep_in_database()
    return HttpResponse()


async def async_parts(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[str]:
        with noted(request) as record:
            alias = request.GET.get("alias", "default")
            yield f"first {await Note.objects.using(alias).acount()}\n"
            await record.gate.wait()
            yield f"second {await Note.objects.using(alias).acount()}\n"

    return StreamingHttpResponse(parts())


def sync_parts(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[str]:
        with noted(request) as record:
            alias = request.GET.get("alias", "default")
            yield f"first {Note.objects.using(alias).count()}\n"
            record.gate_for_threads.wait(LONG)
            yield f"second {Note.objects.using(alias).count()}\n"

    return StreamingHttpResponse(parts())


def endless(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[str]:
        with noted(request) as record:
            while not record.gate_for_threads.wait(0.01):
                yield "again\n"

    return StreamingHttpResponse(parts())


@on_loop
def querying_parts(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[str]:
        with noted(request):
            yield "first\n"
            sleep_in_database()
            yield "second\n"

    return StreamingHttpResponse(parts())


@streaming_body
async def receiving(request: HttpRequest) -> HttpResponse:
    with noted(request):
        async for _ in request.stream():
            pass
    return HttpResponse()


@streaming_body
async def receiving_in_groups(request: HttpRequest) -> HttpResponse:
    """The reader is so deep in task groups that its error comes before their cancellation."""

    async def read(depth: int) -> None:
        if depth:
            async with asyncio.TaskGroup() as group:
                group.create_task(read(depth - 1))
            return
        async for _ in request.stream():
            pass

    with noted(request):
        await read(5)
    return HttpResponse()


async def download(request: HttpRequest) -> FileResponse:
    return FileResponse(open(f"{settings.FOLDER}/sparse", "rb"))  # noqa: ASYNC230
