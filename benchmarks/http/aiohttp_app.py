"""aiohttp and asyncpg, SQL by hand: what is possible without an ORM and middleware.

There is no relation to follow, no session and no user: those paths are missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
from aiohttp import web

from benchmarks.connections import asyncpg_arguments
from benchmarks.http import answers

COLUMNS = "b.id, b.title, b.author_id, b.pages, b.price, b.published"
BOOK = f"SELECT {COLUMNS} FROM bench_book b WHERE b.id = $1"
LIST = f"""SELECT {COLUMNS}, a.name FROM bench_book b JOIN bench_author a ON a.id = b.author_id
    ORDER BY b.id LIMIT $1"""
POOL = web.AppKey("pool", asyncpg.Pool)


def row_as_json(row: Any) -> dict[str, Any]:
    return {
        "id": row["id"],
        "title": row["title"],
        "author_id": row["author_id"],
        "pages": row["pages"],
        "price": str(row["price"]),
        "published": row["published"].isoformat(),
    }


async def hello(request: web.Request) -> web.Response:
    return web.Response(text=answers.GREETING)


async def orm(request: web.Request) -> web.Response:
    row = await request.app[POOL].fetchrow(BOOK, answers.KEY)
    return web.json_response(row_as_json(row))


async def list_(request: web.Request) -> web.Response:
    rows = await request.app[POOL].fetch(LIST, answers.LISTED)
    return web.json_response({"books": [{**row_as_json(r), "author": r["name"]} for r in rows]})


async def wait(request: web.Request) -> web.Response:
    query = "SELECT id, nap FROM bench_nap_100 WHERE id = $1"
    row = await request.app[POOL].fetchrow(query, answers.KEY)
    return web.json_response({"id": row["id"]})


async def gather(request: web.Request) -> web.Response:
    query = "SELECT id, nap FROM bench_nap_20 WHERE id = $1"
    fetch = request.app[POOL].fetchrow
    rows = await asyncio.gather(*(fetch(query, key) for key in answers.GATHERED))
    return web.json_response({"ids": [row["id"] for row in rows]})


async def sleep(request: web.Request) -> web.Response:
    with answers.waiting:
        await asyncio.sleep(answers.SLEEP)
    return web.json_response({"slept": answers.SLEEP})


async def waiting(request: web.Request) -> web.Response:
    return web.json_response({"waiting": answers.waiting.count})


def from_spec(spec: dict[str, Any]) -> web.Application:
    async def with_pool(app: web.Application) -> AsyncIterator[None]:
        async with asyncpg.create_pool(
            **asyncpg_arguments(spec["target"]),
            min_size=spec["pool"],
            max_size=spec["pool"],
        ) as app[POOL]:
            yield

    app = web.Application()
    app.cleanup_ctx.append(with_pool)
    handlers = (hello, orm, list_, wait, gather, sleep, waiting)
    app.add_routes([web.get(f"/{answers.path(each)}", each) for each in handlers])
    return app
