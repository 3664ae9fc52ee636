"""Transactions of all kinds. Each writes a fixed number of rows."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from django.db import connection, transaction

import django_loom
from benchmarks.fuzz.worker import Undo, Worker
from tests.testapp.models import Marker


async def single(worker: Worker) -> None:
    number = worker.ledger.begin(1)
    await worker.row(number).asave()
    worker.ledger.committed.add(number)


async def bulk(worker: Worker) -> None:
    number = worker.ledger.begin(5)
    await Marker.objects.abulk_create([worker.row(number) for _ in range(5)], batch_size=2)
    worker.ledger.committed.add(number)


def _many(worker: Worker, number: int) -> None:
    rows = [[worker.owner, number]] * 4
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany("INSERT INTO testapp_marker (owner, step) VALUES (%s, %s)", rows)


async def many(worker: Worker) -> None:
    number = worker.ledger.begin(4)
    await django_loom.run_sync(_many, worker, number)
    worker.ledger.committed.add(number)


def block(worker: Worker, number: int) -> None:
    with transaction.atomic():
        worker.save(number)


async def sync_block(worker: Worker) -> None:
    number = worker.ledger.begin(3)
    await django_loom.run_sync(block, worker, number)
    worker.ledger.committed.add(number)


async def async_block(worker: Worker) -> None:
    number = worker.ledger.begin(3)
    async with django_loom.atomic():
        for _ in range(3):
            await worker.row(number).asave()
        transaction.on_commit(lambda: worker.ledger.committed.add(number))


async def tasks_in_block(worker: Worker) -> None:
    number = worker.ledger.begin(3)
    async with django_loom.atomic():
        await asyncio.gather(*(worker.row(number).asave() for _ in range(3)))
    worker.ledger.committed.add(number)


async def rolled_back(worker: Worker) -> None:
    number = worker.ledger.begin(3)
    try:
        async with django_loom.atomic():
            await django_loom.run_sync(worker.save, number)
            raise Undo
    except Undo:
        worker.ledger.rolled_back.add(number)


def undone_block(worker: Worker, number: int) -> None:
    with transaction.atomic():
        worker.save(number, 2)
        raise Undo


async def nested(worker: Worker) -> None:
    number, undone = worker.ledger.begin(4), worker.ledger.begin(2)
    worker.ledger.rolled_back.add(undone)
    async with django_loom.atomic():
        await worker.row(number).asave()
        with suppress(Undo):
            await django_loom.run_sync(undone_block, worker, undone)
        async with django_loom.atomic():
            await django_loom.run_sync(block, worker, number)
    worker.ledger.committed.add(number)


async def swallow(worker: Worker) -> None:
    """Code that catches the cancellation inside its block, and lets the block end as usual."""
    number, caught = worker.ledger.begin(2), None
    async with django_loom.atomic():
        await worker.row(number).asave()
        try:
            await worker.row(number).asave()
        except asyncio.CancelledError as error:
            caught = error
    if caught is not None:
        raise caught
    worker.ledger.committed.add(number)


async def iterate_in_block(worker: Worker) -> None:
    number = worker.ledger.begin(2)
    async with django_loom.atomic():
        await django_loom.run_sync(worker.save, number, 2)
        await worker.iterate()
    worker.ledger.committed.add(number)


async def time_out(worker: Worker) -> None:
    operation = worker.random.choice([Worker.echo_late, Worker.read, async_block])
    try:
        async with asyncio.timeout(worker.random.random() / 200):
            await operation(worker)
    except TimeoutError:
        pass


OPERATIONS = [
    single,
    bulk,
    many,
    sync_block,
    async_block,
    tasks_in_block,
    rolled_back,
    nested,
    swallow,
    iterate_in_block,
    time_out,
]
