"""Who takes part: a name, the module that knows the library, and what it is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from typing import Any, NamedTuple, Protocol

from benchmarks.database import BOOKS, Target

# Called with a number that differs between calls. What it returns is checked against `EXPECTED`.
Operation = Callable[[int], Awaitable[int]]
SyncOperation = Callable[[int], int]


class Contender(Protocol):
    """One library, connected. `synchronous` ones run their operations on a single thread."""

    synchronous: bool
    operations: Mapping[str, Any]

    async def open(self, target: Target, size: int) -> None: ...

    async def close(self) -> None: ...

    def task(self) -> AbstractAsyncContextManager[object]:
        """What surrounds one of the concurrent tasks, as a server surrounds a request."""
        ...


class Entry(NamedTuple):
    module: str
    variant: str
    about: str


CONTENDERS = {
    "ours": Entry("django_orm", "ours", "django-loom"),
    "stock": Entry(
        "django_orm",
        "stock",
        "Django async, a thread and a connection per task, kept for its life",
    ),
    "stock-request": Entry(
        "django_orm",
        "request",
        "Django async as under its ASGI handler, each operation a request: a thread for it, "
        "and a connection from the pool",
    ),
    "stock-tree": Entry("django_orm", "tree", "Django async, all tasks of one request: one thread"),
    "stock-sync": Entry("django_orm", "sync", "Django sync, one thread: the CPU yardstick"),
    "sqlalchemy-psycopg": Entry("sqlalchemy_orm", "psycopg", "SQLAlchemy asyncio, defaults"),
    "sqlalchemy-psycopg-auto": Entry(
        "sqlalchemy_orm", "psycopg-auto", "SQLAlchemy asyncio, reads in autocommit as Django's"
    ),
    "sqlalchemy-asyncpg": Entry("sqlalchemy_orm", "asyncpg", "SQLAlchemy asyncio, defaults"),
    "sqlalchemy-asyncpg-auto": Entry(
        "sqlalchemy_orm", "asyncpg-auto", "SQLAlchemy asyncio, reads in autocommit as Django's"
    ),
    "tortoise": Entry("tortoise_orm", "asyncpg", "Tortoise ORM on asyncpg"),
    "django-async-backend": Entry("async_backend", "psycopg", "a generated async copy of the ORM"),
    "psycopg": Entry("raw_psycopg", "floor", "SQL by hand, tuples, prepared: the floor"),
}


def pk(n: int) -> int:
    return 1 + n % BOOKS


def first_of_ten(n: int) -> int:
    return min(pk(n), BOOKS - 9)


def ten(n: int) -> list[int]:
    return [pk(n + k) for k in range(10)]


# What each operation answers, so that none is fast because it does less.
EXPECTED: Mapping[str, Callable[[int], int | None]] = {
    "get": pk,
    "list": lambda n: 10,  # rows whose author's name was there without another query
    "create": lambda n: None,  # the new row's key: anything true
    "gather": lambda n: sum(ten(n)),
    "atomic": lambda n: 1,  # rows that the update, the second write, changed
    "iterate": lambda n: BOOKS,
    "sleep": pk,  # a read that takes the server 50 ms
}
OPERATIONS = list(EXPECTED)


def load(name: str) -> Contender:
    entry = CONTENDERS[name]
    module = import_module(f"benchmarks.contenders.{entry.module}")
    contender: Contender = module.contender(entry.variant)
    return contender
