"""Databases of a thread that waits for async code, and ways in which that writes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

import django_loom
from django_loom import run_sync
from tests.db.support import second_alias
from tests.testapp.models import Author

POOL = {"max_size": 3, "timeout": 2}
DATABASES = [
    pytest.param(("default", {}), id="postgresql"),
    pytest.param(("default", {"pool": POOL}), id="postgresql-pool"),
    pytest.param(("sqlite", {}), id="sqlite"),
    pytest.param(("sqlite", {"pool": POOL}), id="sqlite-pool"),
]


@contextmanager
def on_database(of: str, options: dict[str, Any]) -> Iterator[str]:
    """An alias whose connections have all come back in the end."""
    with second_alias(of, OPTIONS=options) as alias:
        yield alias
        connections[alias].close()
        assert django_loom.pool(alias).statistics().used == 0


def execute(alias: str, *statements: str) -> Any:
    with connections[alias].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else None


async def by_orm(alias: str, name: str) -> None:
    await Author.objects.using(alias).acreate(name=name)


async def by_run_sync(alias: str, name: str) -> None:
    await run_sync(Author.objects.using(alias).create, name=name)


async def by_sync_to_async(alias: str, name: str) -> None:
    await sync_to_async(Author.objects.using(alias).create)(name=name)


async def in_atomic(alias: str, name: str) -> None:
    async with django_loom.atomic(alias):
        await Author.objects.using(alias).acreate(name=name)


async def in_pin(alias: str, name: str) -> None:
    async with django_loom.pin(alias):
        await Author.objects.using(alias).acreate(name=name)


WRITES: list[Callable[[str, str], Awaitable[None]]] = [
    by_orm,
    by_run_sync,
    by_sync_to_async,
    in_atomic,
    in_pin,
]
each_write = pytest.mark.parametrize("write", WRITES)


async def all_ways(alias: str) -> None:
    """Write a row in each way, one after the other and gathered."""
    for write in WRITES:
        await write(alias, write.__name__)
    await asyncio.gather(*[write(alias, f"{write.__name__} gathered") for write in WRITES])


ALL_NAMES = sorted(f"{write.__name__}{how}" for write in WRITES for how in ("", " gathered"))


def names(alias: str) -> list[str]:
    return sorted(Author.objects.using(alias).values_list("name", flat=True))
