"""Threads of a unit of work. They go on to their end when who waits for them is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.db import connections, transaction

import django_loom
from benchmarks.fuzz.worker import Operation, Worker
from benchmarks.fuzz.writes import async_block, block
from django_loom.bridge import unit_of_work


async def somewhere(worker: Worker, function: Callable[..., Any], *args: Any) -> None:
    """Call a function on the loop, or in a thread in one of the ways that there are."""
    way = worker.random.randrange(4)
    if way == 0:
        await django_loom.run_sync(function, *args)
    elif way == 1:
        await asyncio.to_thread(function, *args)
    else:
        await sync_to_async(function, thread_sensitive=way == 2)(*args)


def _write(worker: Worker, number: int) -> None:
    block(worker, number)
    worker.ledger.committed.add(number)
    worker.ask()


def _write_and_close(worker: Worker, number: int) -> None:
    try:
        _write(worker, number)
    finally:
        connections.close_all()


async def thread(worker: Worker) -> None:
    number = worker.ledger.begin(3)
    await sync_to_async(_write_and_close, thread_sensitive=False)(worker, number)


async def thread_of_unit(worker: Worker) -> None:
    with unit_of_work():
        await worker.echo()
        await somewhere(worker, _write, worker, worker.ledger.begin(3))
        await worker.echo()


async def threads_at_once(worker: Worker) -> None:
    numbers = [worker.ledger.begin(3) for _ in range(3)]
    with unit_of_work():
        await asyncio.gather(*(somewhere(worker, _write, worker, each) for each in numbers))


async def thread_in_block(worker: Worker) -> None:
    """A thread in a task's transaction; it may still run when that is rolled back."""
    number, inner = worker.ledger.begin(2), worker.ledger.begin(3)
    async with django_loom.atomic():
        await worker.row(number).asave()
        await somewhere(worker, block, worker, inner)
        await worker.row(number).asave()
    worker.ledger.committed |= {number, inner}


def _loop_in_block(worker: Worker, number: int) -> None:
    with transaction.atomic():
        worker.save(number, 1)
        async_to_sync(worker.row(number).asave)()
        worker.save(number, 1)
    worker.ledger.committed.add(number)


async def thread_with_async_code(worker: Worker) -> None:
    """Async code below a thread below async code, in the thread's transaction."""
    with unit_of_work():
        await somewhere(worker, _loop_in_block, worker, worker.ledger.begin(3))


async def async_code_in_thread(worker: Worker) -> None:
    with unit_of_work():
        await somewhere(worker, async_to_sync(async_block), worker)


OPERATIONS: list[Operation] = [
    thread,
    thread_of_unit,
    threads_at_once,
    thread_in_block,
    thread_with_async_code,
    async_code_in_thread,
]
