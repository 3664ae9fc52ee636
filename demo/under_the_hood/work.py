"""Views that do nothing but wait: the same five waits, in three ways.

They wait with a timer, not for a service or a database: whatever serves those would take
its share of this machine's processor, and the picture would show that.
"""

from __future__ import annotations

import asyncio
import time

from django.db import connection
from django.http import HttpRequest, HttpResponse

import django_loom

from .recorder import recorded_in

WAITS = 5
WAIT_SECONDS = 0.02
QUERIES = 5
COUNT_TO = 60_000


@recorded_in("load")
@django_loom.in_thread
def sync(request: HttpRequest) -> HttpResponse:
    """Wait as blocking code does: in a thread of its own, for it would stop the loop."""
    for _ in range(WAITS):
        time.sleep(WAIT_SECONDS)
    return _answer()


@recorded_in("load")
async def serial(request: HttpRequest) -> HttpResponse:
    """Wait on the loop, for one thing after the other."""
    for _ in range(WAITS):
        await asyncio.sleep(WAIT_SECONDS)
    return _answer()


@recorded_in("load")
async def gathered(request: HttpRequest) -> HttpResponse:
    """Wait on the loop, for all at the same time."""
    await asyncio.gather(*(asyncio.sleep(WAIT_SECONDS) for _ in range(WAITS)))
    return _answer()


async def run_queries(*, at_once: bool) -> None:
    """Have the database do the same work several times: one by one, or gathered."""
    if at_once:
        await asyncio.gather(*(django_loom.run_sync(_count) for _ in range(QUERIES)))
        return
    for _ in range(QUERIES):
        await django_loom.run_sync(_count)


def _count() -> None:
    """A query that takes long enough to be seen, in SQLite and PostgreSQL alike."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE counted(n) AS"
            " (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < %s)"
            " SELECT max(n) FROM counted",
            [COUNT_TO],
        )
        cursor.fetchone()


def _answer() -> HttpResponse:
    return HttpResponse(f"{WAITS} waits of {WAIT_SECONDS * 1000:g} ms\n", content_type="text/plain")
