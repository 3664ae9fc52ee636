"""Look for damage when all tasks have ended; threads may take a moment longer."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import psycopg
from django.db.models import Count
from psycopg.pq import TransactionStatus

import django_loom
from benchmarks.fuzz.ledger import Ledger
from benchmarks.fuzz.sessions import find_nothing
from benchmarks.fuzz.worker import Worker
from django_loom.db.pool_errors import describe
from tests.testapp.models import Marker

STUCK = 60.0  # seconds after which a cancelled task counts as hanging


class Checks:
    """What must hold of the pool, its sessions, the server and the tables."""

    def __init__(self, ledger: Ledger, admin: str, worker: Callable[[], Worker]) -> None:
        self._ledger = ledger
        self._admin = admin
        self._worker = worker

    async def run(self) -> None:
        """Look; what is found is noted in the ledger."""
        gc.collect()  # what a cancelled task has left for the collector
        pool = django_loom.pool()
        if not await _soon(lambda: pool.statistics().used == 0):
            self._ledger.violated(f"connections are in use: {describe(pool._state)}")
            return
        if pool.statistics().pinned:
            self._ledger.violated("a connection is still pinned")
        for slot in list(pool._state.idle):
            status = slot.connection.pgconn.transaction_status
            if status != TransactionStatus.IDLE:
                self._ledger.violated(f"an idle connection of the pool is {status.name}")
        if not await _soon(lambda: not self._busy_sessions()):
            self._ledger.violated(f"the server still runs {self._busy_sessions()}")
        if held := self._held_locks():
            self._ledger.violated(f"idle sessions hold the locks {held}")
        await self._take_all(pool.options.max_size)
        rows = Marker.objects.values_list("step").annotate(Count("pk"))
        self._ledger.compare(dict([row async for row in rows]))

    async def _take_all(self, number: int) -> None:
        """The pool is full again: so many connections can be held at the same time."""
        together = asyncio.Barrier(number)

        def hold() -> None:
            find_nothing(self._worker())
            django_loom.bridge.suspend(together.wait())

        try:
            async with asyncio.timeout(STUCK):
                await asyncio.gather(*(django_loom.run_sync(hold) for _ in range(number)))
        except TimeoutError:
            self._ledger.violated(f"not all {number} connections of the pool can be taken")

    def _busy_sessions(self) -> list[Any]:
        return self._query(
            "SELECT pid, state, query FROM pg_stat_activity WHERE state <> 'idle'"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )

    def _held_locks(self) -> list[Any]:
        return self._query(
            "SELECT pid, locktype, objid FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )

    def _query(self, sql: str) -> list[Any]:
        with psycopg.connect(self._admin, autocommit=True) as connection:
            return connection.execute(sql).fetchall()


async def _soon(condition: Any) -> bool:
    """Whether it comes to hold; the server or a thread may need a moment."""
    for _ in range(500):
        if condition():
            return True
        await asyncio.sleep(0.02)
    return False
