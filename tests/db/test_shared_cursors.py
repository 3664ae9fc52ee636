"""Who reads an `aiterator()` uses its connection; SQLite's rows come ahead, its writers in turn."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, transaction

import django_loom
from django_loom import await_, run_sync
from django_loom.bridge import unit_of_work
from django_loom.db import scopes
from django_loom.exceptions import TransactionBusy
from tests.db.support import aask, abackend_pid, ask, in_use, let_others_run, second_alias
from tests.loops import LoopRunner
from tests.testapp.models import Author, Marker

pytestmark = pytest.mark.usefixtures("db_tables")
ROWS = 6
AGAIN = "default_again"


@pytest.fixture
def one() -> Iterator[str]:
    """An alias whose pool has one connection."""
    with second_alias(OPTIONS={"pool": {"max_size": 1, "timeout": 5}}) as alias:
        yield alias
        assert in_use(alias) == 0


async def fill(alias: str) -> None:
    await Marker.objects.using(alias).abulk_create([Marker(owner=n) for n in range(ROWS)])


async def read(marker: Marker) -> None:
    assert await Marker.objects.using(AGAIN).filter(pk=marker.pk).aexists()


async def write(marker: Marker) -> None:
    await Marker.objects.using(AGAIN).filter(pk=marker.pk).aupdate(step=1)


async def in_block(marker: Marker) -> None:
    async with django_loom.atomic(AGAIN):
        await write(marker)


async def nested(marker: Marker) -> None:
    found = [each.pk async for each in Marker.objects.using(AGAIN).aiterator(chunk_size=2)]
    assert len(found) == ROWS
    await write(marker)


async def gathered(marker: Marker) -> None:
    await asyncio.gather(read(marker), write(marker), asyncio.to_thread(ask, "SELECT 1"))


@pytest.mark.parametrize("body", [read, write, in_block, nested, gathered])
def test_the_body_uses_the_connection_that_it_reads_from(
    loop_runner: LoopRunner, one: str, body: Any
) -> None:
    async def main() -> int:
        await fill(one)
        async for marker in Marker.objects.using(one).aiterator(chunk_size=2):
            await body(marker)
        return await Marker.objects.using(one).filter(step=1).acount()

    assert loop_runner(main) == (0 if body is read else ROWS)


def test_a_loop_that_is_left_by_break_or_exception_frees_the_connection(
    loop_runner: LoopRunner, one: str
) -> None:
    async def leave(how: str) -> None:
        async for marker in Marker.objects.using(one).aiterator(chunk_size=2):
            await write(marker)
            if how == "break":
                break
            raise ZeroDivisionError

    async def main() -> None:
        await fill(one)
        for _ in range(3):
            await leave("break")
            gc.collect()
            await let_others_run()
            with pytest.raises(ZeroDivisionError):
                await leave("exception")
            gc.collect()
            await let_others_run()
            assert await Marker.objects.using(one).acount() == ROWS

    loop_runner(main)


def test_a_cancelled_reader_frees_the_connection(loop_runner: LoopRunner, one: str) -> None:
    async def reader(begun: asyncio.Event) -> None:
        async for _ in Marker.objects.using(one).aiterator(chunk_size=2):
            begun.set()
            await asyncio.Event().wait()

    async def main() -> None:
        await fill(one)
        begun = asyncio.Event()
        task = asyncio.create_task(reader(begun))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        gc.collect()
        await let_others_run()
        assert await Marker.objects.using(one).acount() == ROWS

    loop_runner(main)


def test_the_collector_may_free_an_iterator_inside_a_call(loop_runner: LoopRunner) -> None:
    class Cycle:
        def __init__(self, rows: Any) -> None:
            self.me, self.rows = self, rows

    async def half_read() -> None:
        rows = Marker.objects.aiterator(chunk_size=1)
        await anext(rows)
        Cycle(rows)

    def collect() -> int:
        gc.collect()
        return Marker.objects.count()

    async def main() -> None:
        await fill("default")
        for _ in range(5):
            await half_read()
            assert await run_sync(collect) == ROWS
        await let_others_run()
        assert in_use() == 0

    loop_runner(main)


def test_a_cursor_goes_on_after_its_connection_was_closed(loop_runner: LoopRunner) -> None:
    def work(*, query_between: bool) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            await_(asyncio.sleep(0))
            django_loom.pool().close()
            if query_between:
                ask("SELECT 2")
            cursor.execute("SELECT 3")
            return cursor.fetchone()[0]

    async def main() -> None:
        assert await run_sync(lambda: work(query_between=True)) == 3
        assert await run_sync(lambda: work(query_between=False)) == 3
        assert in_use() == 0

    loop_runner(main)


# SQLite.


@pytest.mark.parametrize("how", ["update_or_create", "create", "atomic"])
@pytest.mark.usefixtures("sqlite_tables")
def test_gathered_writers_of_sqlite_take_turns(loop_runner: LoopRunner, how: str) -> None:
    objects = Author.objects.using("sqlite")

    async def one_write(number: int) -> None:
        if how == "update_or_create":
            await objects.aupdate_or_create(name="a", defaults={"born": None})
        elif how == "create":
            await objects.acreate(name=f"{number}")
        else:
            async with django_loom.atomic("sqlite"):
                count = await objects.acount()  # reads first, which SQLite punishes
                await objects.acreate(name=f"{count}")

    async def main() -> int:
        await asyncio.gather(*[one_write(number) for number in range(20)])
        return await objects.acount()

    assert loop_runner(main) == (1 if how == "update_or_create" else 20)


@pytest.mark.usefixtures("sqlite_tables")
def test_the_body_of_an_iterator_of_sqlite_writes(loop_runner: LoopRunner) -> None:
    objects = Author.objects.using("sqlite")

    async def main() -> None:
        await objects.abulk_create([Author(name=f"{n}") for n in range(ROWS)])
        async for author in objects.aiterator(chunk_size=2):
            await objects.filter(pk=author.pk).aupdate(name=f"new {author.name}")
        assert await objects.filter(name__startswith="new").acount() == ROWS

    loop_runner(main)


@pytest.mark.usefixtures("sqlite_tables")
def test_a_writer_that_waits_too_long_is_told_why() -> None:
    async def main() -> None:
        begun, done = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            async with django_loom.atomic("sqlite_again"):
                begun.set()
                await done.wait()

        options = {"pool": {"timeout": 0.01}}
        with second_alias("sqlite", OPTIONS=options) as alias:
            task = asyncio.create_task(hold())
            await begun.wait()
            with pytest.raises(TransactionBusy, match="it has one writer at a time"):
                await Author.objects.using(alias).acreate(name="Ann")
            assert await aask("SELECT 1", using=alias) == 1  # readers go on
            done.set()
            await task

    asyncio.run(main())


def test_the_next_cursor_of_a_transaction_is_not_hurt_by_one_that_was_left(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        await fill("default")
        async with django_loom.atomic():
            pid = await abackend_pid()
            async for _ in Marker.objects.aiterator(chunk_size=2):
                break
            gc.collect()
            assert len([each async for each in Marker.objects.aiterator(chunk_size=2)]) == ROWS
            assert await abackend_pid() == pid
        await let_others_run()
        assert in_use() == 0

    loop_runner(main)


READS: dict[str, Callable[[Any], Any]] = {
    "fetchone": lambda cursor: cursor.fetchone(),
    "fetchmany": lambda cursor: cursor.fetchmany(20),
    "fetchall": lambda cursor: cursor.fetchall(),
    "iteration": list,
}


@pytest.mark.parametrize("read", READS)
def test_a_cancelled_read_leaves_a_transaction_that_must_be_rolled_back(
    loop_runner: LoopRunner, read: str
) -> None:
    """Code that swallows the cancellation must not commit half of what it did."""
    broken: list[bool] = []

    def work(begun: asyncio.Event) -> None:
        with transaction.atomic():
            Author.objects.create(name="lost")
            cursor = connection.chunked_cursor()
            cursor.execute("SELECT n, pg_sleep(30) FROM generate_series(1, 100) n")
            begun.set()
            try:
                READS[read](cursor)
            except asyncio.CancelledError:
                broken.append(connection.needs_rollback)

    async def main() -> None:
        begun = asyncio.Event()
        task = asyncio.create_task(run_sync(work, begun))
        await begun.wait()
        await let_others_run()
        task.cancel()
        await asyncio.wait([task])
        assert broken == [True]
        assert (await Author.objects.acount(), in_use()) == (0, 0)

    loop_runner(main)


def test_code_goes_on_whose_cursor_is_closed_while_it_waits_for_a_connection(
    loop_runner: LoopRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the collector frees an iterator that was left, and the loop closes it then."""

    def use(wrapper: Any) -> int:
        reads = [True]  # another unit's cursor, until there is a connection
        monkeypatch.setattr(scopes, "is_member", lambda *_: reads[0])
        connect = type(wrapper).connect

        def connect_and_end(self: Any) -> None:
            connect(self)
            reads[0] = False

        monkeypatch.setattr(type(wrapper), "connect", connect_and_end)
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT 1")
            return int(cursor.fetchone()[0])

    async def main() -> None:
        with unit_of_work():
            wrapper = await run_sync(lambda: connections["default"])
            with unit_of_work():
                assert await run_sync(use, wrapper) == 1
                assert in_use() == 0
                with pytest.raises(DatabaseError, match="belongs to another unit"):
                    await run_sync(use_kept, wrapper)

    loop_runner(main)


def use_kept(wrapper: Any) -> None:
    wrapper.cursor()
