"""Views whose streams write a transaction each: on the loop, in threads, async."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

import django_loom
from benchmarks.fuzz.sessions import CLEAN, State, change_session, find_nothing, state
from benchmarks.fuzz.unit_values import check_attributes, check_values, set_attributes, set_values
from benchmarks.fuzz.worker import Worker
from django_loom.bridge import current_unit
from django_loom.http.channel import AHEAD_BYTES

ROWS = 4
FILL = b" " * (AHEAD_BYTES // 2)


def _begin(worker: Worker) -> State:
    set_values(worker)
    set_attributes(worker)
    find_nothing(worker)
    if worker.random.random() < 0.5:
        return CLEAN
    return change_session(worker, worker.random.randrange(5))


def _check(worker: Worker, expected: State) -> None:
    unit: Any = current_unit()
    check_values(worker)
    check_attributes(worker, unit)
    worker.require(state(), expected, *[CLEAN] * (unit.ended or worker.is_cancelled))


def _parts(worker: Worker, number: int, expected: State) -> Iterator[bytes]:
    try:
        with transaction.atomic():
            for _ in range(ROWS):
                worker.row(number).save()
                _check(worker, expected)
                yield FILL
                worker.require(connection.in_atomic_block, True)
    except GeneratorExit:
        worker.ledger.rolled_back.add(number)
        raise
    worker.ledger.committed.add(number)
    _check(worker, expected)


def _plain_parts(worker: Worker, number: int, expected: State) -> Iterator[bytes]:
    for _ in range(ROWS):
        _check(worker, expected)
        yield FILL


async def _async_parts(worker: Worker, number: int, expected: State) -> AsyncIterator[bytes]:
    try:
        async with django_loom.atomic():
            for _ in range(ROWS):
                await worker.row(number).asave()
                await django_loom.run_sync(_check, worker, expected)
                yield FILL
    except GeneratorExit:
        worker.ledger.rolled_back.add(number)
        raise
    worker.ledger.committed.add(number)


def _answer(request: HttpRequest, parts: Any) -> StreamingHttpResponse:
    worker, number = request.scope["worker"], request.scope["number"]  # type: ignore[attr-defined]
    return StreamingHttpResponse(parts(worker, number, _begin(worker)))


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return _answer(request, _parts)


def stream_without_block(request: HttpRequest) -> StreamingHttpResponse:
    return _answer(request, _plain_parts)


async def stream_async(request: HttpRequest) -> StreamingHttpResponse:
    return await django_loom.run_sync(_answer, request, _async_parts)


def _write(worker: Worker, number: int) -> None:
    expected = _begin(worker)
    with transaction.atomic():
        worker.save(number, ROWS)
    worker.ledger.committed.add(number)
    _check(worker, expected)


def page(request: HttpRequest) -> HttpResponse:
    _write(request.scope["worker"], request.scope["number"])  # type: ignore[attr-defined]
    return HttpResponse(b"done")


async def page_async(request: HttpRequest) -> HttpResponse:
    worker, number = request.scope["worker"], request.scope["number"]  # type: ignore[attr-defined]
    await django_loom.run_sync(_write, worker, number)
    await asyncio.gather(*(worker.echo() for _ in range(2)))
    return HttpResponse(b"done")


PLACES = {"loop": django_loom.on_loop, "thread": django_loom.in_thread}
urlpatterns = [
    path(f"{place}/{view.__name__}", mark(view))
    for place, mark in PLACES.items()
    for view in (stream, stream_without_block, page)
]
urlpatterns += [path(f"async/{view.__name__}", view) for view in (stream_async, page_async)]
URLS = [f"/{pattern.pattern}" for pattern in urlpatterns]
