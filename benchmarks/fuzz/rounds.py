"""Run the work, cancel it, and look for damage when all is quiet."""

from __future__ import annotations

import asyncio
import gc
import random
import time
import traceback
from collections.abc import Iterator
from itertools import count
from typing import Any

import psycopg
from django.db.models import Count
from django.test import override_settings
from psycopg.pq import TransactionStatus

import django_loom
from benchmarks.fuzz.ledger import Ledger
from benchmarks.fuzz.sessions import find_nothing
from benchmarks.fuzz.work import OPERATIONS
from benchmarks.fuzz.worker import Worker
from django_loom.asgi import get_asgi_application
from tests.testapp.models import Marker

STUCK = 60.0  # seconds after which a cancelled task counts as hanging
TASKS = 30
CANCELLERS = 6
NAPS = 3
PER_ROUND = 500


class Fuzz:
    """Cancels `cancellations` tasks, `PER_ROUND` in a round, each ended by the checks."""

    def __init__(self, seed: int, cancellations: int, admin: str, deadline: float) -> None:
        self.seed = seed
        self.cancellations = cancellations
        self.admin = admin
        self.deadline = deadline
        self.random = random.Random(seed)
        self.ledger = Ledger()
        self.owners: Iterator[int] = count(1)
        self.cancelled = self.twice = self.rounds = 0
        self.started = time.monotonic()

    @property
    def over(self) -> bool:
        return bool(self.ledger.violations) or time.monotonic() > self.deadline

    async def run(self) -> dict[str, Any]:
        await Marker.objects.all().adelete()
        self.application = get_asgi_application()
        gc.collect()
        gc.freeze()  # or each forced collection would go through all of Django
        try:
            with override_settings(ROOT_URLCONF="benchmarks.fuzz.site"):
                while self.cancelled < self.cancellations and not self.over:
                    await self._round(min(PER_ROUND, self.cancellations - self.cancelled))
                    self.rounds += 1
                    await self._check()
        finally:
            gc.unfreeze()
            self.application.threads.close()
            self.application.stream_threads.close()
        return self.figures()

    async def _round(self, cancellations: int) -> None:
        self.naps = asyncio.Semaphore(NAPS)
        share = [cancellations // CANCELLERS] * CANCELLERS
        share[0] += cancellations % CANCELLERS
        await asyncio.gather(*(self._cancel_some(number) for number in share))

    def _start(self) -> asyncio.Task[None]:
        worker = self._worker(next(self.owners))
        return asyncio.create_task(worker.run(OPERATIONS), name=f"task {worker.owner}")

    def _worker(self, owner: int) -> Worker:
        return Worker(owner, self.seed, self.ledger, self.naps, self.application)

    async def _cancel_some(self, number: int) -> None:
        """Cancel tasks of a set of our own, and put a new one in the place of each."""
        tasks = [self._start() for _ in range(TASKS // CANCELLERS)]
        for _ in range(number):
            await self._pause()
            place = self.random.randrange(len(tasks))
            await self._cancel(tasks[place])
            tasks[place] = self._start()
            if self.over:
                break
        for task in tasks:
            task.cancel()
        await self._ended(tasks)

    async def _cancel(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        if self.random.random() < 0.2:
            # While the first is still dealt with: cancelling in the server, rolling back.
            for _ in range(self.random.randrange(4)):
                await asyncio.sleep(0)
            await asyncio.sleep(self.random.random() / 500)
            self.twice += task.cancel()
        await self._ended([task])
        self.cancelled += 1

    async def _pause(self) -> None:
        """Some turns of the loop, or some time."""
        if self.random.random() < 0.5:
            for _ in range(self.random.randrange(30)):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(self.random.random() / 100)

    async def _ended(self, tasks: list[asyncio.Task[None]]) -> None:
        done, stuck = await asyncio.wait(tasks, timeout=STUCK)
        for task in stuck:
            self.ledger.violated(f"{task.get_name()} still runs {STUCK:g} s after cancellation")
        for task in done:
            if not task.cancelled():
                error = task.exception()
                trace = "".join(traceback.format_exception(error)) if error else "nothing"
                self.ledger.violated(f"{task.get_name()} ended, cancelled, with {trace}")

    # Checks. All tasks have ended; threads may take a moment longer.

    async def _check(self) -> None:
        gc.collect()  # what a cancelled task has left for the collector
        pool = django_loom.pool()
        if not await _soon(lambda: pool.statistics().used == 0):
            self.ledger.violated(f"connections are in use: {pool._describe()}")
            return
        if pool.statistics().pinned:
            self.ledger.violated("a connection is still pinned")
        for slot in list(pool._idle):
            status = slot.connection.pgconn.transaction_status
            if status != TransactionStatus.IDLE:
                self.ledger.violated(f"an idle connection of the pool is {status.name}")
        if not await _soon(lambda: not self._busy_sessions()):
            self.ledger.violated(f"the server still runs {self._busy_sessions()}")
        if held := self._held_locks():
            self.ledger.violated(f"idle sessions hold the locks {held}")
        await self._take_all(pool.options.max_size)
        rows = Marker.objects.values_list("step").annotate(Count("pk"))
        self.ledger.compare(dict([row async for row in rows]))

    async def _take_all(self, number: int) -> None:
        """The pool is full again: so many connections can be held at the same time."""
        together = asyncio.Barrier(number)

        def hold() -> None:
            find_nothing(self._worker(-1))
            django_loom.bridge.suspend(together.wait())

        try:
            async with asyncio.timeout(STUCK):
                await asyncio.gather(*(django_loom.run_sync(hold) for _ in range(number)))
        except TimeoutError:
            self.ledger.violated(f"not all {number} connections of the pool can be taken")

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
        with psycopg.connect(self.admin, autocommit=True) as connection:
            return connection.execute(sql).fetchall()

    def figures(self) -> dict[str, Any]:
        pool = django_loom.pool().statistics()
        ledger = self.ledger
        return {
            "seed": self.seed,
            "cancellations": self.cancelled,
            "cancelled_twice": self.twice,
            "rounds": self.rounds,
            "seconds": round(time.monotonic() - self.started, 1),
            "operations_completed": sum(ledger.operations.values()),
            "transactions": len(ledger.expected),
            "committed": len(ledger.committed),
            "rolled_back": len(ledger.rolled_back),
            "cut_short": ledger.unknown,
            "connections_made": pool.created,
            "connections_thrown_away": pool.lost,
            "violations": ledger.violations[:20],
        }


async def _soon(condition: Any) -> bool:
    """Whether it comes to hold; the server or a thread may need a moment."""
    for _ in range(500):
        if condition():
            return True
        await asyncio.sleep(0.02)
    return False
