"""What a task does with the database until it is cancelled."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection, connections, transaction

import django_loom
from benchmarks.fuzz.ledger import Ledger
from tests.testapp.models import Marker

FOR_EVER = 600  # seconds; no cancelled query may still run when a round ends


class Undo(Exception):
    """Raised by a block to be rolled back."""


class Worker:
    """One task's work. `owner` is in all that it writes, asks for and may read."""

    def __init__(self, owner: int, seed: int, ledger: Ledger, naps: asyncio.Semaphore) -> None:
        self.owner = owner
        self.ledger = ledger
        self.naps = naps  # few at a time, or all connections would be asleep
        self.random = random.Random(seed * 1_000_003 + owner)

    async def run(self) -> None:
        while True:
            operation = self.random.choice(OPERATIONS)
            await operation(self)
            self.ledger.operations[operation.__name__] += 1

    # Reads.

    def check(self, owners: list[int]) -> None:
        if set(owners) - {self.owner}:
            self.ledger.violated(f"task {self.owner} read what belongs to {set(owners)}")

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

    async def time_out(self) -> None:
        operation = self.random.choice([Worker.echo_late, Worker.read, Worker.async_block])
        try:
            async with asyncio.timeout(self.random.random() / 200):
                await operation(self)
        except TimeoutError:
            pass

    # Writes. Each is a transaction, and writes a fixed number of rows.

    def row(self, number: int) -> Marker:
        return Marker(owner=self.owner, step=number)

    def save(self, number: int, rows: int = 3) -> None:
        for _ in range(rows):
            self.row(number).save()

    async def single(self) -> None:
        number = self.ledger.begin(1)
        await self.row(number).asave()
        self.ledger.committed.add(number)

    async def bulk(self) -> None:
        number = self.ledger.begin(5)
        await Marker.objects.abulk_create([self.row(number) for _ in range(5)], batch_size=2)
        self.ledger.committed.add(number)

    def _many(self, number: int) -> None:
        rows = [[self.owner, number]] * 4
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.executemany("INSERT INTO testapp_marker (owner, step) VALUES (%s, %s)", rows)

    async def many(self) -> None:
        number = self.ledger.begin(4)
        await django_loom.run_sync(self._many, number)
        self.ledger.committed.add(number)

    def _block(self, number: int) -> None:
        with transaction.atomic():
            self.save(number)

    async def sync_block(self) -> None:
        number = self.ledger.begin(3)
        await django_loom.run_sync(self._block, number)
        self.ledger.committed.add(number)

    async def async_block(self) -> None:
        number = self.ledger.begin(3)
        async with django_loom.atomic():
            for _ in range(3):
                await self.row(number).asave()
            transaction.on_commit(lambda: self.ledger.committed.add(number))

    async def tasks_in_block(self) -> None:
        number = self.ledger.begin(3)
        async with django_loom.atomic():
            await asyncio.gather(*(self.row(number).asave() for _ in range(3)))
        self.ledger.committed.add(number)

    async def rolled_back(self) -> None:
        number = self.ledger.begin(3)
        try:
            async with django_loom.atomic():
                await django_loom.run_sync(self.save, number)
                raise Undo
        except Undo:
            self.ledger.rolled_back.add(number)

    def _undone(self, number: int) -> None:
        with transaction.atomic():
            self.save(number, 2)
            raise Undo

    async def nested(self) -> None:
        number, undone = self.ledger.begin(4), self.ledger.begin(2)
        self.ledger.rolled_back.add(undone)
        async with django_loom.atomic():
            await self.row(number).asave()
            with suppress(Undo):
                await django_loom.run_sync(self._undone, undone)
            async with django_loom.atomic():
                await django_loom.run_sync(self._block, number)
        self.ledger.committed.add(number)

    async def swallow(self) -> None:
        """Code that catches the cancellation inside its block, and lets the block end as usual."""
        number, caught = self.ledger.begin(2), None
        async with django_loom.atomic():
            await self.row(number).asave()
            try:
                await self.row(number).asave()
            except asyncio.CancelledError as error:
                caught = error
        if caught is not None:
            raise caught
        self.ledger.committed.add(number)

    async def iterate_in_block(self) -> None:
        number = self.ledger.begin(2)
        async with django_loom.atomic():
            await django_loom.run_sync(self.save, number, 2)
            await self.iterate()
        self.ledger.committed.add(number)

    def _in_thread(self, number: int) -> None:
        try:
            self._block(number)
            self.ledger.committed.add(number)
            self.ask()
        finally:
            connections.close_all()

    async def thread(self) -> None:
        # The thread goes on to its end when the task that waits for it is cancelled.
        await sync_to_async(self._in_thread, thread_sensitive=False)(self.ledger.begin(3))


Operation = Callable[[Worker], Awaitable[Any]]

OPERATIONS: list[Operation] = [
    Worker.echo,
    Worker.echo_late,
    Worker.echo_many,
    Worker.sleep_for_ever,
    Worker.read,
    Worker.iterate,
    Worker.time_out,
    Worker.single,
    Worker.bulk,
    Worker.many,
    Worker.sync_block,
    Worker.async_block,
    Worker.tasks_in_block,
    Worker.rolled_back,
    Worker.nested,
    Worker.swallow,
    Worker.iterate_in_block,
    Worker.thread,
]
