"""A task of the fuzz: what it is, how it reads, and what it may read."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from typing import Any

from django.db import connection

import django_loom
from benchmarks.fuzz.ledger import Ledger
from tests.testapp.models import Marker

FOR_EVER = 600  # seconds; no cancelled query may still run when a round ends

owner_here: ContextVar[int] = ContextVar("fuzz_owner")


class Undo(Exception):
    """Raised by a block to be rolled back."""


class Worker:
    """One task's work. `owner` is in all that it writes, asks for and may read."""

    def __init__(
        self, owner: int, seed: int, ledger: Ledger, naps: asyncio.Semaphore, application: Any
    ) -> None:
        self.owner = owner
        self.ledger = ledger
        self.naps = naps  # few at a time, or all connections would be asleep
        self.application = application
        self.random = random.Random(seed * 1_000_003 + owner)
        self.doing = "nothing"
        self.task: asyncio.Task[Any] | None = None

    async def run(self, operations: list[Operation]) -> None:
        self.task = asyncio.current_task()
        owner_here.set(self.owner)
        while True:
            operation = self.random.choice(operations)
            self.doing = operation.__name__
            await operation(self)
            self.ledger.operations[self.doing] += 1

    @property
    def is_cancelled(self) -> bool:
        return self.task is not None and self.task.cancelling() > 0

    def violated(self, what: str) -> None:
        self.ledger.violated(f"task {self.owner}, at {self.doing}: {what}")

    def require(self, found: Any, *allowed: Any) -> None:
        """Note a violation if something is neither of what it may be."""
        if found not in allowed:
            self.violated(f"found {found!r}, and not {' or '.join(map(repr, allowed))}")

    # Reads.

    def check(self, owners: Iterable[int]) -> None:
        if others := set(owners) - {self.owner}:
            self.violated(f"read what belongs to {others}")

    def ask(self, nap: float = 0) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s, pg_sleep(%s)", [self.owner, nap])
            self.check([cursor.fetchone()[0]])

    async def echo(self) -> None:
        await django_loom.run_sync(self.ask)

    async def echo_late(self) -> None:
        await django_loom.run_sync(self.ask, self.random.random() / 100)

    async def echo_many(self) -> None:
        await asyncio.gather(*(self.echo() for _ in range(3)))

    async def sleep_for_ever(self) -> None:
        async with self.naps:
            await django_loom.run_sync(self.ask, FOR_EVER)

    async def read(self) -> None:
        rows = Marker.objects.filter(owner=self.owner)[:50]
        self.check([row.owner async for row in rows])
        await Marker.objects.filter(owner=self.owner).acount()

    async def iterate(self) -> None:
        stop_at = self.random.randrange(40)
        rows = Marker.objects.filter(owner=self.owner).aiterator(chunk_size=4)
        async for row in rows:
            self.check([row.owner])
            stop_at -= 1
            if not stop_at:
                break
        await rows.aclose()

    # For writes, each of which is a transaction with a number.

    def row(self, number: int) -> Marker:
        return Marker(owner=self.owner, step=number)

    def save(self, number: int, rows: int = 3) -> None:
        for _ in range(rows):
            self.row(number).save()


Operation = Callable[[Worker], Awaitable[Any]]

OPERATIONS: list[Operation] = [
    Worker.echo,
    Worker.echo_late,
    Worker.echo_many,
    Worker.sleep_for_ever,
    Worker.read,
    Worker.iterate,
]
