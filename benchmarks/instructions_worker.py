"""Answers requests or runs queries, a number of times, for `benchmarks.instructions` to count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from benchmarks.harness import read_spec
from benchmarks.http.layers import HOST, SCOPE
from benchmarks.http.serve import django_application, prepare


async def requests(application: Any, route: str, cookie: str, number: int) -> None:
    """One after the other, each in a task of its own, as servers do it."""
    headers = [*HOST, (b"cookie", cookie.encode())] if cookie else HOST
    scope = {**SCOPE, "path": f"/{route}", "raw_path": f"/{route}".encode(), "headers": headers}
    statuses = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        statuses.append(message.get("status", 200))

    for _ in range(number):
        await asyncio.create_task(application(dict(scope), receive, send))
    assert set(statuses) == {200}, statuses


async def calls(case: str, number: int) -> None:
    """One after the other, outside a request."""
    import django_loom
    from benchmarks.shop.models import Book, Sale

    async def atomic() -> None:
        async with django_loom.atomic():
            await Sale.objects.acreate(book_id=1, quantity=1, note="two")
            assert await Book.objects.filter(pk=1).aupdate(pages=200) == 1

    async def get() -> None:
        await Book.objects.aget(pk=1)

    call = {"atomic": atomic, "aget": get}[case]
    for _ in range(number):
        await call()


def queries(case: str) -> Callable[[], Any]:
    from django.db import connection

    from benchmarks.shop.models import Book

    def raw() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)

    return raw if case == "raw" else lambda: Book.objects.get(pk=1)


def main() -> None:
    spec = read_spec()
    application = django_application(spec)
    prepare(spec)
    if spec["case"] in ("get", "raw"):
        query = queries(spec["case"])
        for _ in range(spec["number"]):
            query()
    elif spec["case"] in ("aget", "atomic"):
        asyncio.run(calls(spec["case"], spec["number"]))
    else:
        asyncio.run(requests(application, spec["case"], spec["cookie"], spec["number"]))


if __name__ == "__main__":
    main()
