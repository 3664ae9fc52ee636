"""A query that waits in the database, as a slow one does, and takes no processor time.

PostgreSQL has a function for that. SQLite gets one of the same name: the query holds its
connection and the thread of its driver for that time, and nothing else.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from django.db import connection

import django_loom

QUERIES = 5
SECONDS = 0.04


async def run_queries(*, at_once: bool) -> None:
    """Make the same query several times: one by one, or gathered."""
    if at_once:
        await asyncio.gather(*(django_loom.run_sync(_query) for _ in range(QUERIES)))
        return
    for _ in range(QUERIES):
        await django_loom.run_sync(_query)


def add_function(*, connection: Any, **signal: Any) -> None:
    """Give a new connection of SQLite the function; for ``connection_created``."""
    if connection.vendor == "sqlite":
        connection.connection.create_function("pg_sleep", 1, time.sleep)


def _query() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [SECONDS])
        cursor.fetchone()
