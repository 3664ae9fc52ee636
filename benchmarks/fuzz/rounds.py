"""Run the work and cancel it, in rounds that end with the checks."""

from __future__ import annotations

import asyncio
import gc
import random
import time
import traceback
from collections.abc import Iterator
from itertools import count
from typing import Any

from django.test import override_settings

import django_loom
from benchmarks.fuzz.checks import STUCK, Checks
from benchmarks.fuzz.ledger import Ledger
from benchmarks.fuzz.work import OPERATIONS
from benchmarks.fuzz.worker import Worker
from django_loom.asgi import get_asgi_application
from tests.testapp.models import Marker

TASKS = 30
CANCELLERS = 6
NAPS = 3
PER_ROUND = 500


class Fuzz:
    """Cancels `cancellations` tasks, `PER_ROUND` in a round, each ended by the checks."""

    def __init__(self, seed: int, cancellations: int, admin: str, deadline: float) -> None:
        self.seed = seed
        self.cancellations = cancellations
        self.deadline = deadline
        self.random = random.Random(seed)
        self.ledger = Ledger()
        self._checks = Checks(self.ledger, admin, lambda: self._worker(-1))
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
                    await self._checks.run()
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
