"""A block on a pinned connection is its own code's: who is beside it sees none, and waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.db import connection, transaction

import django_loom
from django_loom import run_sync
from django_loom.bridge import unit_of_work
from tests.db.support import aask, abackend_pid, in_use, let_others_run
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables")
SET = "SELECT set_config('loom.tag', 'x', false)"


def block(begun: asyncio.Event, go_on: asyncio.Event, log: list[str], pin_inside: bool) -> None:
    try:
        with transaction.atomic():
            Author.objects.create(name="in the block")
            if pin_inside:
                connection.cursor().execute(SET)
            transaction.on_commit(lambda: log.append("of the block"))
            begun.set()
            django_loom.await_(go_on.wait())
            assert connection.in_atomic_block
            Author.objects.create(name="in the block as well")
    finally:
        log.append("block")


@asynccontextmanager
async def beside_a_block(log: list[str], *, pin_inside: bool) -> AsyncIterator[Callable[[], Any]]:
    """In a unit with a pinned connection, on which another task has a block open."""
    begun, go_on = asyncio.Event(), asyncio.Event()
    with unit_of_work():
        if not pin_inside:
            await aask(SET)
        task = asyncio.create_task(run_sync(block, begun, go_on, log, pin_inside))
        await begun.wait()

        async def end() -> None:
            go_on.set()
            await task

        yield end
        await end()
    await aeventually(lambda: in_use() == 0)


each_order = pytest.mark.parametrize("pin_inside", [False, True])


@each_order
def test_code_beside_it_is_in_no_block(loop_runner: LoopRunner, pin_inside: bool) -> None:
    def look() -> tuple[Any, ...]:
        log: list[str] = []
        transaction.on_commit(lambda: log.append("at once"))
        assert log == ["at once"]
        of = connection
        return (of.in_atomic_block, of.get_autocommit(), of.savepoint_ids, of.run_on_commit)

    async def main() -> None:
        log: list[str] = []
        async with beside_a_block(log, pin_inside=pin_inside) as end:
            outside = (False, True, [], [])
            assert await run_sync(look) == outside
            assert await asyncio.create_task(run_sync(look)) == outside
            assert await asyncio.to_thread(look) == outside
            assert not connection.in_atomic_block  # in a coroutine, too
            await end()
            assert await run_sync(look) == outside
        assert log == ["of the block", "block"]

    loop_runner(main)


@each_order
@pytest.mark.parametrize("cancelled", [False, True])
def test_what_is_done_beside_it_waits(
    loop_runner: LoopRunner, pin_inside: bool, cancelled: bool
) -> None:
    def nested() -> None:
        with transaction.atomic(), transaction.atomic():
            Author.objects.create(name="in a block beside")

    def off() -> None:
        transaction.set_autocommit(False)
        transaction.rollback()
        transaction.set_autocommit(True)

    def read() -> None:
        assert len(list(Author.objects.iterator(chunk_size=1))) >= 2

    def with_cursor(cursor: Any) -> None:
        cursor.execute("SELECT 1")

    actions: list[Callable[[], Any]] = [
        nested,
        off,
        read,
        lambda: connection.commit(),
        lambda: connection.rollback(),
        lambda: Author.objects.create(name="beside"),
    ]

    async def main() -> None:
        log: list[str] = []

        async def note(action: Callable[[], Any]) -> None:
            await run_sync(action)
            log.append("beside")

        async with beside_a_block(log, pin_inside=pin_inside) as end:
            cursor = await run_sync(connection.cursor)
            every = [*actions, lambda: with_cursor(cursor)] if cancelled else actions
            tasks = [asyncio.create_task(note(action)) for action in every]
            await let_others_run()
            assert log == []
            if cancelled:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                assert all(task.cancelled() for task in tasks)
            await end()
            if not cancelled:
                await asyncio.gather(*tasks)
                assert log[:2] == ["of the block", "block"]
                assert len(log) == 2 + len(tasks)
            assert await aask("SELECT current_setting('loom.tag', true)") == "x"
        assert await Author.objects.acount() == (2 if cancelled else 4)

    loop_runner(main)


@each_order
def test_closing_beside_it_waits_and_ends_the_session(
    loop_runner: LoopRunner, pin_inside: bool
) -> None:
    async def main() -> None:
        log: list[str] = []
        async with beside_a_block(log, pin_inside=pin_inside) as end:
            closing = asyncio.create_task(run_sync(lambda: connection.close()))
            await let_others_run()
            assert not closing.done()
            await end()
            await closing
            assert await aask("SELECT current_setting('loom.tag', true)") in (None, "")
        assert await Author.objects.acount() == 2

    loop_runner(main)


def test_blocks_beside_each_other_take_turns(loop_runner: LoopRunner) -> None:
    def one(number: int) -> int:
        assert not connection.in_atomic_block
        with transaction.atomic():
            Author.objects.create(name=f"{number}")
            assert len(connection.savepoint_ids) == 0
            with transaction.atomic():
                django_loom.await_(asyncio.sleep(0))
                assert len(connection.savepoint_ids) == 1
        return len(connection.run_on_commit)

    async def main() -> None:
        with unit_of_work():
            await aask(SET)
            pid = await abackend_pid()
            assert set(await asyncio.gather(*(run_sync(one, each) for each in range(9)))) == {0}
            assert await abackend_pid() == pid
        await aeventually(lambda: in_use() == 0)
        assert await Author.objects.acount() == 9

    loop_runner(main)
