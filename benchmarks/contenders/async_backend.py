"""django-async-backend: `async_objects`, one connection per task for as long as the task lives.

Its limits, as its README states them: `aiterator()` is missing, so all rows are fetched at once;
a gathered read needs `async_new_connection` of its own.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

from benchmarks.connections import django_pool
from benchmarks.contenders import Contender, first_of_ten, pk, ten
from benchmarks.contenders.django_orm import configure
from benchmarks.contenders.frame import AsyncContender
from benchmarks.database import Target


class AsyncBackend(AsyncContender):
    async def open(self, target: Target, size: int) -> None:
        engine = "django_async_backend.db.backends.postgresql"
        configure(target, engine, ["django_async_backend"], django_pool(size))
        from benchmarks.shop.models import Book, Nap, Sale

        # Its app adds `async_objects` to every model class: not in Django's type stubs.
        self.books: Any = Book
        self.sales: Any = Sale
        self.naps: Any = Nap

    async def close(self) -> None:
        from django_async_backend.db import async_connections

        await async_connections["default"].close_pool()

    def task(self) -> AbstractAsyncContextManager[object]:
        from django_async_backend.db import async_new_connection

        return async_new_connection()

    async def get(self, n: int) -> int:
        return (await self.books.async_objects.aget(pk=pk(n))).pk

    async def list(self, n: int) -> int:
        books = self.books.async_objects.select_related("author")
        page = books.filter(pk__gte=first_of_ten(n)).order_by("pk")[:10]
        return len([book.author.name async for book in page])

    async def create(self, n: int) -> int:
        return (await self.sales.async_objects.acreate(book_id=pk(n), quantity=1, note="one")).pk

    async def gather(self, n: int) -> int:
        from django_async_backend.db import async_new_connection

        reads = (async_new_connection(self.get(key - 1)) for key in ten(n))
        return sum(await asyncio.gather(*reads))

    async def atomic(self, n: int) -> int:
        from django_async_backend.db.transaction import async_atomic

        async with async_atomic():
            await self.sales.async_objects.acreate(book_id=pk(n), quantity=1, note="two")
            return await self.books.async_objects.filter(pk=pk(n)).aupdate(pages=200 + n % 9)

    async def iterate(self, n: int) -> int:
        count = 0
        async for _ in self.books.async_objects.order_by("pk"):
            count += 1
        return count

    async def sleep(self, n: int) -> int:
        return (await self.naps.async_objects.aget(pk=pk(n))).pk


def contender(variant: str) -> Contender:
    return AsyncBackend()
