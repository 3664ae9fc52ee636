"""SQLAlchemy's asyncio ORM, a session per operation, on psycopg and on asyncpg.

By default a session's reads are wrapped in BEGIN and ROLLBACK, two round trips that Django's
autocommit doesn't make. The `-auto` variants read in autocommit, skip the ROLLBACK there, and
iterate by batches: the same SQL as Django's, SQLAlchemy at its fastest.
"""

from __future__ import annotations

import asyncio
import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, DateTime, ForeignKey, Numeric, String, select, update
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, joinedload, mapped_column, relationship

from benchmarks.contenders import Contender, first_of_ten, pk
from benchmarks.contenders.frame import AsyncContender
from benchmarks.database import Target


class Base(DeclarativeBase):
    type_annotation_map = {int: BigInteger}


class Author(Base):
    __tablename__ = "bench_author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))


class Book(Base):
    __tablename__ = "bench_book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    author_id: Mapped[int] = mapped_column(ForeignKey(Author.id))
    pages: Mapped[int]
    price: Mapped[Decimal] = mapped_column(Numeric(8, 2))
    published: Mapped[datetime.datetime] = mapped_column(DateTime(timezone=True))
    author: Mapped[Author] = relationship()


class Sale(Base):
    __tablename__ = "bench_sale"
    id: Mapped[int] = mapped_column(primary_key=True)
    book_id: Mapped[int] = mapped_column(ForeignKey(Book.id))
    quantity: Mapped[int]
    note: Mapped[str] = mapped_column(String(200))


class Nap(Base):
    __tablename__ = "bench_nap"
    id: Mapped[int] = mapped_column(primary_key=True)
    nap: Mapped[str]


def url(driver: str, target: Target) -> URL:
    return URL.create(
        f"postgresql+{driver}",
        username=target.user,
        password=target.password or None,
        host=target.host,
        port=target.port,
        database=target.dbname,
    )


class SQLAlchemy(AsyncContender):
    def __init__(self, driver: str, *, autocommit_reads: bool) -> None:
        self.driver = driver
        self.autocommit_reads = autocommit_reads

    async def open(self, target: Target, size: int) -> None:
        self.engine = create_async_engine(
            url(self.driver, target),
            pool_size=size,
            max_overflow=0,
            skip_autocommit_rollback=self.autocommit_reads,
        )
        reading = self.engine
        if self.autocommit_reads:
            reading = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self.session = async_sessionmaker(self.engine, expire_on_commit=False)
        self.reading: async_sessionmaker[AsyncSession] = async_sessionmaker(reading)
        connections = await asyncio.gather(*(self.engine.connect() for _ in range(size)))
        await asyncio.gather(*(connection.close() for connection in connections))

    async def close(self) -> None:
        await self.engine.dispose()

    async def get(self, n: int) -> int:
        async with self.reading() as session:
            return (await session.get_one(Book, pk(n))).id

    async def list(self, n: int) -> int:
        books = select(Book).options(joinedload(Book.author, innerjoin=True))
        page = books.where(Book.id >= first_of_ten(n)).order_by(Book.id).limit(10)
        async with self.reading() as session:
            return len([book.author.name for book in await session.scalars(page)])

    async def create(self, n: int) -> int:
        async with self.session() as session:
            session.add(sale := Sale(book_id=pk(n), quantity=1, note="one"))
            await session.commit()
            return sale.id

    async def atomic(self, n: int) -> int:
        change = update(Book).where(Book.id == pk(n)).values(pages=200 + n % 9)
        async with self.session.begin() as session:
            session.add(Sale(book_id=pk(n), quantity=1, note="two"))
            result = await session.execute(change, execution_options={"synchronize_session": False})
            return result.rowcount

    async def iterate(self, n: int) -> int:
        books = select(Book).order_by(Book.id).execution_options(yield_per=2000)
        async with self.session() as session:
            rows = await session.stream_scalars(books)
            if self.autocommit_reads:
                # Less usual than a row at a time, and a bridge crossing per batch, not per row.
                return sum([len(batch) async for batch in rows.partitions()])
            return len([book.id async for book in rows])

    async def sleep(self, n: int) -> int:
        async with self.reading() as session:
            return (await session.get_one(Nap, pk(n))).id


def contender(variant: str) -> Contender:
    driver, _, auto = variant.partition("-")
    return SQLAlchemy(driver, autocommit_reads=bool(auto))
