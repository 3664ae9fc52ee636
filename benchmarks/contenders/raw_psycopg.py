"""The floor: psycopg alone, SQL by hand, tuples, a pooled connection per operation."""

from __future__ import annotations

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from benchmarks.contenders import Contender, first_of_ten, pk
from benchmarks.contenders.frame import AsyncContender
from benchmarks.database import Target

BOOK = "SELECT id, title, author_id, pages, price, published FROM bench_book"
GET = f"{BOOK} WHERE id = %s"
LIST = """SELECT b.id, b.title, b.author_id, b.pages, b.price, b.published, a.id, a.name
    FROM bench_book b JOIN bench_author a ON a.id = b.author_id
    WHERE b.id >= %s ORDER BY b.id LIMIT 10"""
CREATE = "INSERT INTO bench_sale (book_id, quantity, note) VALUES (%s, %s, %s) RETURNING id"
UPDATE = "UPDATE bench_book SET pages = %s WHERE id = %s"


class RawPsycopg(AsyncContender):
    async def open(self, target: Target, size: int) -> None:
        self.pool = AsyncConnectionPool(
            kwargs={**target.psycopg(), "autocommit": True},
            min_size=size,
            max_size=size,
            open=False,
        )
        await self.pool.open(wait=True)

    async def close(self) -> None:
        await self.pool.close()

    async def _one(self, query: str, *parameters: object) -> int:
        async with self.pool.connection() as connection:
            row = await (await connection.execute(query, parameters)).fetchone()
        return int(row[0]) if row else 0

    async def get(self, n: int) -> int:
        return await self._one(GET, pk(n))

    async def list(self, n: int) -> int:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(LIST, [first_of_ten(n)])
            return len([row[7] for row in await cursor.fetchall()])

    async def create(self, n: int) -> int:
        return await self._one(CREATE, pk(n), 1, "one")

    async def atomic(self, n: int) -> int:
        async with self.pool.connection() as connection, connection.transaction():
            await connection.execute(CREATE, [pk(n), 1, "two"])
            cursor = await connection.execute(UPDATE, [200 + n % 9, pk(n)])
            return cursor.rowcount

    async def iterate(self, n: int) -> int:
        async with self.pool.connection() as connection, connection.transaction():
            return await self._stream(connection)

    async def _stream(self, connection: AsyncConnection) -> int:
        count = 0
        async with connection.cursor("rows") as cursor:
            cursor.itersize = 2000
            await cursor.execute(f"{BOOK} ORDER BY id")
            async for _ in cursor:
                count += 1
        return count

    async def sleep(self, n: int) -> int:
        return await self._one("SELECT id, nap FROM bench_nap WHERE id = %s", pk(n))


def contender(variant: str) -> Contender:
    return RawPsycopg()
