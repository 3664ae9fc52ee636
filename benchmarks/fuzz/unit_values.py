"""What is kept per unit of work in Python: locals, attributes and methods of the connection."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from django.db import connection

import django_loom
from benchmarks.fuzz.threads import somewhere
from benchmarks.fuzz.worker import Operation, Worker, owner_here
from django_loom.bridge import Unit, unit_of_work


class _WithInit(threading.local):
    def __init__(self) -> None:
        self.owners: list[int] = []


values = threading.local()
with_init = _WithInit()


def set_values(worker: Worker) -> None:
    """Put the worker's mark into the locals of a new unit, in which nothing is yet."""
    worker.require(getattr(values, "owner", None), None)
    worker.require(with_init.owners, [])
    values.owner = worker.owner
    with_init.owners.append(worker.owner)


def check_values(worker: Worker) -> None:
    worker.require(getattr(values, "owner", None), worker.owner)
    worker.require(with_init.owners, [worker.owner])
    worker.require(owner_here.get(None), worker.owner)


def _check_around_query(worker: Worker) -> None:
    check_values(worker)
    worker.ask(worker.random.random() / 500)
    check_values(worker)


async def local_values(worker: Worker) -> None:
    with unit_of_work():
        await somewhere(worker, set_values, worker)
        check_values(worker)
        await _three_places(worker, _check_around_query, worker)
        check_values(worker)


async def _three_places(worker: Worker, function: Callable[..., Any], *args: Any) -> None:
    await somewhere(worker, function, *args)
    await asyncio.gather(*(somewhere(worker, function, *args) for _ in range(2)))


def set_attributes(worker: Worker) -> None:
    """Do to the connection object what tools do: an attribute, a method, an execute wrapper."""
    present: Any = connection
    worker.require(getattr(present, "fuzz_owner", None), None)
    worker.require(connection.execute_wrappers, [])
    present.fuzz_owner = worker.owner
    before, owner = present.cursor, worker.owner

    def cursor(*args: Any, **kwargs: Any) -> Any:
        worker.require(owner_here.get(None), owner)
        return before(*args, **kwargs)

    def wrapper(execute: Any, *args: Any) -> Any:
        worker.require(owner_here.get(None), owner)
        return execute(*args)

    present.cursor = cursor
    connection.execute_wrappers.append(wrapper)


def check_attributes(worker: Worker, unit: Unit) -> None:
    worker.ask()
    found = getattr(connection, "fuzz_owner", None)
    # A thread may go on when its unit has ended, and then has another object.
    worker.require(found, worker.owner, *[None] * unit.ended)


async def attributes(worker: Worker) -> None:
    with unit_of_work() as unit:
        await django_loom.run_sync(set_attributes, worker)
        await _three_places(worker, check_attributes, worker, unit)


OPERATIONS: list[Operation] = [local_values, attributes]
