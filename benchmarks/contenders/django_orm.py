"""Django's ORM five ways: ours, stock async in three process models, stock sync.

The code of an operation is the same wherever the library allows it: what differs is the ENGINE.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cached_property, partial
from typing import Any

from benchmarks.connections import django_database, django_pool
from benchmarks.contenders import Contender, first_of_ten, pk, ten
from benchmarks.contenders.frame import AsyncContender, Frame
from benchmarks.database import Target

STOCK = "django.db.backends.postgresql"
OURS = "django_loom.db.postgresql"


def configure(target: Target, engine: str, apps: list[str], pool: dict[str, Any] | None) -> None:
    import django
    from django.conf import settings

    database = django_database(vars(target), engine, pool)
    settings.configure(
        DATABASES={"default": database}, INSTALLED_APPS=[*apps, "benchmarks.shop"], USE_TZ=True
    )
    django.setup()


class DjangoAsync(AsyncContender):
    """`a*` methods, under whatever ENGINE."""

    engine = STOCK
    apps: list[str] = []

    async def open(self, target: Target, size: int) -> None:
        configure(target, self.engine, self.apps, django_pool(size))
        from benchmarks.shop import models

        self.models = models

    async def close(self) -> None:
        from asgiref.sync import sync_to_async
        from django.db import connection

        await sync_to_async(connection.close_pool)()

    async def get(self, n: int) -> int:
        return (await self.models.Book.objects.aget(pk=pk(n))).pk

    async def list(self, n: int) -> int:
        books = self.models.Book.objects.select_related("author")
        page = books.filter(pk__gte=first_of_ten(n)).order_by("pk")[:10]
        return len([book.author.name async for book in page])

    async def create(self, n: int) -> int:
        sale = await self.models.Sale.objects.acreate(book_id=pk(n), quantity=1, note="one")
        return sale.pk

    async def atomic(self, n: int) -> int:
        """Stock has no transactions in async code: a sync function in a thread, as its docs say."""
        from asgiref.sync import sync_to_async

        return await sync_to_async(two_writes)(n)

    async def iterate(self, n: int) -> int:
        count = 0
        async for _ in self.models.Book.objects.order_by("pk").aiterator():
            count += 1
        return count

    async def sleep(self, n: int) -> int:
        return (await self.models.Nap.objects.aget(pk=pk(n))).pk


class Stock(DjangoAsync):
    """As under its ASGI handler: a thread, and so a connection, for the life of a request."""

    @asynccontextmanager
    async def task(self) -> AsyncIterator[None]:
        from asgiref.sync import ThreadSensitiveContext, sync_to_async
        from django.db import close_old_connections

        async with ThreadSensitiveContext():
            yield
            await sync_to_async(close_old_connections)()


class StockRequest(DjangoAsync):
    """As under its ASGI handler, when each request does one of the operations."""

    @cached_property
    def operations(self) -> Mapping[str, Any]:
        request = Stock.task
        return {
            name: partial(self._in, request, operation)
            for name, operation in super().operations.items()
        }

    async def _in(self, request: Any, operation: Any, n: int) -> int:
        async with request(self):
            return await operation(n)


class Ours(DjangoAsync):
    engine = OURS
    apps = ["django_loom"]

    async def open(self, target: Target, size: int) -> None:
        await super().open(target, size)
        # The pool opens a connection when one is needed: for once, need all of them.
        await asyncio.gather(*map(self.sleep, range(size)))

    close = Frame.close

    async def atomic(self, n: int) -> int:
        import django_loom

        async with django_loom.atomic():
            await self.models.Sale.objects.acreate(book_id=pk(n), quantity=1, note="two")
            return await self.models.Book.objects.filter(pk=pk(n)).aupdate(pages=200 + n % 9)


def two_writes(n: int) -> int:
    from django.db import transaction

    from benchmarks.shop.models import Book, Sale

    with transaction.atomic():
        Sale.objects.create(book_id=pk(n), quantity=1, note="two")
        return Book.objects.filter(pk=pk(n)).update(pages=200 + n % 9)


class Sync(Frame):
    """No loop, no pool, one persistent connection: what Django costs when nothing is async."""

    synchronous = True
    atomic = staticmethod(two_writes)

    async def open(self, target: Target, size: int) -> None:
        configure(target, STOCK, [], None)
        from benchmarks.shop import models

        self.models = models

    def get(self, n: int) -> int:
        return self.models.Book.objects.get(pk=pk(n)).pk

    def list(self, n: int) -> int:
        books = self.models.Book.objects.select_related("author")
        page = books.filter(pk__gte=first_of_ten(n)).order_by("pk")[:10]
        return len([book.author.name for book in page])

    def create(self, n: int) -> int:
        return self.models.Sale.objects.create(book_id=pk(n), quantity=1, note="one").pk

    def gather(self, n: int) -> int:
        return sum(self.get(key - 1) for key in ten(n))

    def iterate(self, n: int) -> int:
        return sum(1 for _ in self.models.Book.objects.order_by("pk").iterator())

    def sleep(self, n: int) -> int:
        return self.models.Nap.objects.get(pk=pk(n)).pk


def contender(variant: str) -> Contender:
    known = {
        "ours": Ours,
        "stock": Stock,
        "request": StockRequest,
        "tree": DjangoAsync,
        "sync": Sync,
    }
    return known[variant]()
