"""Tortoise ORM on asyncpg. It has no streaming iteration: all rows are fetched at once."""

from __future__ import annotations

from tortoise import Tortoise, fields
from tortoise.models import Model
from tortoise.transactions import in_transaction

from benchmarks.connections import asyncpg_arguments
from benchmarks.contenders import Contender, first_of_ten, pk
from benchmarks.contenders.frame import AsyncContender
from benchmarks.database import Target


class Author(Model):
    id = fields.BigIntField(primary_key=True)
    name = fields.CharField(max_length=100)

    class Meta:
        table = "bench_author"


class Book(Model):
    id = fields.BigIntField(primary_key=True)
    title = fields.CharField(max_length=200)
    author: fields.ForeignKeyRelation[Author] = fields.ForeignKeyField("bench.Author")
    pages = fields.IntField()
    price = fields.DecimalField(max_digits=8, decimal_places=2)
    published = fields.DatetimeField()

    class Meta:
        table = "bench_book"


class Sale(Model):
    id = fields.BigIntField(primary_key=True)
    book: fields.ForeignKeyRelation[Book] = fields.ForeignKeyField("bench.Book")
    quantity = fields.IntField()
    note = fields.CharField(max_length=200)

    class Meta:
        table = "bench_sale"


class Nap(Model):
    id = fields.BigIntField(primary_key=True)
    nap = fields.TextField()

    class Meta:
        table = "bench_nap"


class TortoiseOrm(AsyncContender):
    async def open(self, target: Target, size: int) -> None:
        pool = {"minsize": size, "maxsize": size}
        credentials = {**asyncpg_arguments(vars(target)), "password": target.password, **pool}
        connection = {"engine": "tortoise.backends.asyncpg", "credentials": credentials}
        await Tortoise.init(
            config={
                "connections": {"default": connection},
                "apps": {"bench": {"models": [__name__], "default_connection": "default"}},
            }
        )

    async def close(self) -> None:
        await Tortoise.close_connections()

    async def get(self, n: int) -> int:
        return (await Book.get(id=pk(n))).id

    async def list(self, n: int) -> int:
        books = Book.filter(id__gte=first_of_ten(n)).order_by("id").limit(10)
        return len([book.author.name for book in await books.select_related("author")])

    async def create(self, n: int) -> int:
        return (await Sale.create(book_id=pk(n), quantity=1, note="one")).id

    async def atomic(self, n: int) -> int:
        async with in_transaction():
            await Sale.create(book_id=pk(n), quantity=1, note="two")
            return await Book.filter(id=pk(n)).update(pages=200 + n % 9)

    async def iterate(self, n: int) -> int:
        count = 0
        async for _ in Book.all().order_by("id"):
            count += 1
        return count

    async def sleep(self, n: int) -> int:
        return (await Nap.get(id=pk(n))).id


def contender(variant: str) -> Contender:
    return TortoiseOrm()
