"""FastAPI, SQLAlchemy's asyncio ORM on asyncpg, Jinja2.

Sessions read in autocommit and skip the ROLLBACK there: the same SQL as Django's, and SQLAlchemy at
its fastest. Answers are response objects, which FastAPI sends without a look at their content.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from jinja2 import Environment, FileSystemLoader
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Mapped, Session, joinedload, mapped_column

from benchmarks.contenders.sqlalchemy_orm import Base, Book, url
from benchmarks.database import Target
from benchmarks.http import answers
from benchmarks.http.site import TEMPLATES


class Nap20(Base):
    __tablename__ = "bench_nap_20"
    id: Mapped[int] = mapped_column(primary_key=True)
    nap: Mapped[str]


class Nap100(Base):
    __tablename__ = "bench_nap_100"
    id: Mapped[int] = mapped_column(primary_key=True)
    nap: Mapped[str]


def sessions(target: Target, pool: int) -> async_sessionmaker[AsyncSession]:
    engine = create_async_engine(
        url("asyncpg", target),
        pool_size=pool,
        max_overflow=0,
        skip_autocommit_rollback=True,
        isolation_level="AUTOCOMMIT",
    )
    return async_sessionmaker(engine)


def application(target: Target, pool: int) -> FastAPI:
    app = FastAPI(openapi_url=None)
    begin = sessions(target, pool)
    books = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, auto_reload=False
    ).get_template("books.html")

    @app.get("/hello")
    async def hello() -> Response:
        return PlainTextResponse(answers.GREETING)

    @app.get("/orm")
    async def orm() -> Response:
        async with begin() as session:
            book = await session.get_one(Book, answers.KEY)
        return JSONResponse(answers.book_as_json(book))

    @app.get("/list")
    async def listed() -> Response:
        joined = select(Book).options(joinedload(Book.author, innerjoin=True))
        async with begin() as session:
            found = await session.scalars(joined.order_by(Book.id).limit(answers.LISTED))
            rows = [answers.listed_as_json(book, book.author.name) for book in found]
        return JSONResponse({"books": rows})

    def render(session: Session) -> str:
        found = session.scalars(select(Book).order_by(Book.id).limit(answers.IN_TEMPLATE))
        return books.render(books=found)

    @app.get("/template")
    async def template() -> Response:
        async with begin() as session:
            # Where SQLAlchemy allows a lazy relation to be followed.
            return HTMLResponse(await session.run_sync(render))

    @app.get("/wait")
    async def wait() -> Response:
        async with begin() as session:
            nap = await session.get_one(Nap100, answers.KEY)
        return JSONResponse({"id": nap.id})

    async def short_nap(key: int) -> int:
        async with begin() as session:
            return (await session.get_one(Nap20, key)).id

    @app.get("/gather")
    async def gather() -> Response:
        return JSONResponse({"ids": await asyncio.gather(*map(short_nap, answers.GATHERED))})

    @app.get("/sleep")
    async def sleep() -> Response:
        with answers.waiting:
            await asyncio.sleep(answers.SLEEP)
        return JSONResponse({"slept": answers.SLEEP})

    @app.get("/waiting")
    async def waiting() -> Response:
        return JSONResponse({"waiting": answers.waiting.count})

    return app


def from_spec(spec: dict[str, Any]) -> FastAPI:
    return application(Target(**spec["target"]), spec["pool"])
