"""What the tests of faults share: a database that may fail, and a look at it from outside."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connections
from django.db.utils import Error

import django_loom
from django_loom.db.pool_errors import describe
from django_loom.lab.servers.proxies import ThreadedProxy
from tests.db.support import aask, ask, database
from tests.polling import aeventually
from tests.services import Postgres

ALIAS = "faulty"
POOL = {"max_size": 3, "timeout": 10}
SLOW = "SELECT pg_sleep(600)"


@contextmanager
def faulty_database(server: Postgres, *, pool: Any = POOL, **entry: Any) -> Iterator[None]:
    """The alias `faulty`; at the end nothing is leaked, and no warning is due."""
    options = {"pool": pool} | entry.pop("OPTIONS", {})
    engine = "django_loom.db.postgresql"
    with database(ALIAS, ENGINE=engine, **server.django(OPTIONS=options, **entry)):
        yield
        connections[ALIAS].close()
        assert_pool_is_whole()
    gc.collect()


@contextmanager
def proxied(server: Postgres) -> Iterator[tuple[ThreadedProxy, Postgres]]:
    """A network that can stall or break, and the server's address through it."""
    with ThreadedProxy(server.host, server.port) as proxy:
        yield proxy, Postgres("127.0.0.1", proxy.port, server.user, server.password, server.dbname)


def assert_pool_is_whole(alias: str = ALIAS) -> None:
    """Nobody holds or waits, and each of the `max_size` places can be taken."""
    pool = django_loom.pool(alias)
    figures = pool.statistics()
    assert (figures.used, figures.pending_requests) == (0, 0), describe(pool._state)
    slots = [pool.acquire() for _ in range(pool.options.max_size)]
    for slot in slots:
        pool._return_unused(slot)
    figures = pool.statistics()
    assert figures.lost <= figures.created


class Admin:
    """A connection to the server that does not go through django_loom."""

    def __init__(self, server: Postgres) -> None:
        self.server = server

    def __call__(self, sql: str, *params: Any) -> list[Any]:
        with psycopg.connect(self.server.dsn, autocommit=True) as connection:
            cursor = connection.execute(sql, params)
            return [row[0] for row in cursor] if cursor.description else []

    def running(self, sql: str = "pg_sleep") -> list[int]:
        """The pids of the processes that run such a query now."""
        return self(
            "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE %s"
            " AND pid <> pg_backend_pid()",
            f"%{sql}%",
        )

    def in_transaction(self) -> list[str]:
        """The last statements of sessions that have a transaction open and do nothing."""
        return self(
            "SELECT query FROM pg_stat_activity WHERE state LIKE 'idle in transaction%%'"
            " AND pid <> pg_backend_pid()"
        )

    def terminate(self, *pids: int) -> None:
        """Kill, and wait until they are gone."""
        for pid in pids:
            self("SELECT pg_terminate_backend(%s, 5000)", pid)


async def fill_pool(number: int = 3) -> list[int]:
    """Have so many connections idle in the pool; their servers' pids."""
    pool = django_loom.pool(ALIAS)

    def hold() -> int:
        pid: int = ask("SELECT pg_backend_pid()", using=ALIAS)
        django_loom.bridge.suspend(everybody.wait())
        return pid

    everybody = asyncio.Barrier(number)
    pids = await asyncio.gather(*(django_loom.run_sync(hold) for _ in range(number)))
    assert pool.statistics().idle == number
    return pids


async def run_slow(admin: Admin, number: int = 1) -> list[asyncio.Task[Any]]:
    """Tasks whose long queries the server is running by now."""
    tasks = [asyncio.create_task(aask(SLOW, using=ALIAS)) for _ in range(number)]
    await aeventually(lambda: len(admin.running()) == number)
    return tasks


def assert_chained(error: BaseException) -> None:
    """The error is one of Django's, caused by psycopg's."""
    assert isinstance(error, Error), repr(error)
    assert isinstance(error.__cause__, psycopg.Error), repr(error.__cause__)
