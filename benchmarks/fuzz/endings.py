"""Code that is left half-way: generators, iterators and calls, by `break` or by the collector."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import suppress
from types import coroutine
from typing import Any

from django.db import transaction

import django_loom
from benchmarks.fuzz.worker import FOR_EVER, Operation, Worker
from django_loom.bridge import unit_of_work
from tests.testapp.models import Marker

STEPS = 3


async def _rows(worker: Worker, number: int) -> AsyncIterator[int]:
    async with django_loom.atomic():
        for step in range(STEPS):
            await worker.row(number).asave()
            yield step
    worker.ledger.committed.add(number)


async def async_generator(worker: Worker) -> None:
    """Left by `break` or read to its end; what is written afterwards is in no transaction."""
    number, later = worker.ledger.begin(STEPS), worker.ledger.begin(1)
    stop_at = worker.random.randrange(STEPS + 1)
    if stop_at < STEPS:
        worker.ledger.rolled_back.add(number)
    async for step in _rows(worker, number):
        if step == stop_at:
            break
    await worker.row(later).asave()
    worker.ledger.committed.add(later)


async def async_generator_in_unit(worker: Worker) -> None:
    with unit_of_work():
        await worker.echo()
        await async_generator(worker)
        await worker.echo()


def _sync_rows(worker: Worker, number: int) -> Iterator[int]:
    with transaction.atomic():
        for step in range(STEPS):
            worker.row(number).save()
            yield step
    worker.ledger.committed.add(number)


def _leave_generator(worker: Worker, number: int, later: int) -> None:
    for step in _sync_rows(worker, number):
        if step == 1:
            break
    worker.row(later).save()


async def _undone(worker: Worker, leave: Callable[[Worker, int, int], None]) -> None:
    """Run what leaves a generator in its transaction, and then writes a row of its own."""
    number, later = worker.ledger.begin(STEPS), worker.ledger.begin(1)
    worker.ledger.rolled_back.add(number)
    await django_loom.run_sync(leave, worker, number, later)
    worker.ledger.committed.add(later)


async def sync_generator(worker: Worker) -> None:
    await _undone(worker, _leave_generator)


def _drop_in_cycle(left: Any) -> None:
    cycle = [left]
    cycle.append(cycle)


def _collect_generator(worker: Worker, number: int, later: int) -> None:
    rows = _sync_rows(worker, number)
    next(rows)
    _drop_in_cycle(rows)
    del rows
    gc.collect()
    worker.row(later).save()


async def collected_generator(worker: Worker) -> None:
    """The collector ends a transaction, in which it can't wait, in the midst of a call."""
    await _undone(worker, _collect_generator)


def _collect_between_queries(worker: Worker) -> None:
    worker.ask()
    gc.collect()
    worker.ask()


async def collect(worker: Worker) -> None:
    with unit_of_work():
        await django_loom.run_sync(_collect_between_queries, worker)


async def left_iterator(worker: Worker) -> None:
    """A half-read iterator that only the collector finds, in a call."""
    number = worker.ledger.begin(5)
    await Marker.objects.abulk_create([worker.row(number) for _ in range(5)])
    worker.ledger.committed.add(number)
    rows = Marker.objects.filter(owner=worker.owner).aiterator(chunk_size=2)
    worker.check([(await anext(rows)).owner])
    _drop_in_cycle(rows)
    del rows
    await django_loom.run_sync(_collect_between_queries, worker)


def _write_and_sleep(worker: Worker, number: int) -> None:
    with transaction.atomic():
        worker.row(number).save()
        worker.ask(FOR_EVER)


@coroutine
def _closed_after(waits: int, call: Any) -> Generator[Any, Any, None]:
    """Await a call until it has waited some times, and close it."""
    steps = call.__await__()
    try:
        for _ in range(waits):
            yield next(steps)
        next(steps)
    finally:
        steps.close()


async def closed_call(worker: Worker) -> None:
    """A call whose coroutine is closed while it waits, as that of a lost task is."""
    number = worker.ledger.begin(1)
    worker.ledger.rolled_back.add(number)
    async with worker.naps:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                call = django_loom.run_sync(_write_and_sleep, worker, number)
                await _closed_after(worker.random.randrange(6), call)


async def early_return(worker: Worker) -> None:
    number = worker.ledger.begin(2)
    for _ in range(2):
        async with django_loom.atomic():
            await django_loom.run_sync(worker.save, number, 2)
            break
    worker.ledger.committed.add(number)


OPERATIONS: list[Operation] = [
    async_generator,
    async_generator_in_unit,
    sync_generator,
    collected_generator,
    collect,
    left_iterator,
    closed_call,
    early_return,
]
