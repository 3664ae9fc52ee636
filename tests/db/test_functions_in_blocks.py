"""A function begins in a thread in a block, which ends under it: it writes nothing by halves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import DatabaseError, connections, transaction
from django.db.transaction import TransactionManagementError

import django_loom
from django_loom import await_, run_sync
from django_loom.bridge import unit_of_work
from django_loom.db.scopes import scopes_in_context
from tests.db.support import let_others_run, second_alias
from tests.db.thread_ways import (
    Way,
    in_any_thread,
    in_executor,
    in_library_thread,
    in_sync_to_async,
    names,
)
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables", "sqlite_tables")
Body = Callable[[], Awaitable[Any]]


class Undo(Exception):
    pass


class WritesTwice:
    """A function that writes in a block, and once more when it is told to."""

    def __init__(self, alias: str, again: Callable[[str], None]) -> None:
        self._alias = alias
        self._again = again
        self._has_written, self.goes_on = threading.Event(), threading.Event()

    def __call__(self) -> None:
        try:
            create(self._alias, "order")
            self._has_written.set()
            assert self.goes_on.wait(10)
            self._again(self._alias)
        finally:
            connections[self._alias].close()

    async def begin(self, way: Way) -> asyncio.Task[None]:
        async def main() -> None:
            await way(self)

        task = asyncio.create_task(main())
        await aeventually(self._has_written.is_set)
        return task


def create(alias: str, name: str = "line") -> None:
    Author.objects.using(alias).create(name=name)


def create_in_block(alias: str) -> None:
    with transaction.atomic(alias):
        create(alias)


def create_in_decorated(alias: str) -> None:
    transaction.atomic(alias)(create)(alias)


def create_on_commit(alias: str) -> None:
    transaction.on_commit(lambda: create(alias), using=alias)


def create_after_an_error(alias: str) -> None:
    with suppress(DatabaseError):
        create(alias)
    create(alias)


AGAIN = [create_in_block, create_in_decorated, create_on_commit, create_after_an_error]


async def undone(alias: str, body: Body, then: Body) -> None:
    with suppress(Undo):
        async with django_loom.atomic(alias):
            await body()
            raise Undo
    await then()


async def undone_in_sync_code(alias: str, body: Body, then: Body) -> None:
    def block() -> None:
        with suppress(Undo), transaction.atomic(alias):
            await_(body())
            raise Undo

    await run_sync(block)
    await then()


async def undone_to_a_savepoint(alias: str, body: Body, then: Body) -> None:
    async with django_loom.atomic(alias):
        await undone(alias, body, then)


async def undone_around_a_savepoint(alias: str, body: Body, then: Body) -> None:
    async def savepoint() -> None:
        async with django_loom.atomic(alias):
            await body()

    await undone(alias, savepoint, then)


async def undone_by_a_cancellation(alias: str, body: Body, then: Body) -> None:
    async def block() -> None:
        async with django_loom.atomic(alias):
            await body()
            begun.set()
            await asyncio.Event().wait()

    begun = asyncio.Event()
    task = asyncio.create_task(block())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    await then()


UNDONE = [
    undone,
    undone_in_sync_code,
    undone_to_a_savepoint,
    undone_around_a_savepoint,
    undone_by_a_cancellation,
]


CASES = [*((around, create) for around in UNDONE), *((undone, again) for again in AGAIN)]
THREADS: list[Way] = [
    in_sync_to_async,
    in_any_thread,
    asyncio.to_thread,
    in_executor,
    in_library_thread,
]


async def write_in_an_undone_block(
    alias: str, way: Way, again: Callable[[str], None], around: Any
) -> None:
    function = WritesTwice(alias, again)
    tasks: list[asyncio.Task[None]] = []

    async def body() -> None:
        tasks.append(await function.begin(way))

    async def then() -> None:
        function.goes_on.set()
        with pytest.raises(TransactionManagementError, match="in which this function began"):
            await tasks[0]

    await around(alias, body, then)


@pytest.mark.parametrize(("around", "again"), CASES)
@pytest.mark.parametrize("way", THREADS)
@pytest.mark.parametrize("alias", ["default", "sqlite"])
def test_a_function_whose_block_is_rolled_back_writes_nothing_more(
    loop_runner: LoopRunner, alias: str, way: Way, again: Callable[[str], None], around: Any
) -> None:
    async def main() -> None:
        with unit_of_work():
            await write_in_an_undone_block(alias, way, again, around)

    loop_runner(main)
    assert not Author.objects.using(alias).exists()


@pytest.mark.parametrize(("around", "again"), CASES)
@pytest.mark.parametrize("way", [in_any_thread, asyncio.to_thread, in_library_thread])
@pytest.mark.parametrize("of", ["default", "sqlite"])
def test_so_it_is_in_async_code_of_a_thread(
    of: str, way: Way, again: Callable[[str], None], around: Any
) -> None:
    with second_alias(of, OPTIONS={}) as alias:
        async_to_sync(write_in_an_undone_block)(alias, way, again, around)
        connections[alias].close()
        assert not Author.objects.using(alias).exists()


@pytest.mark.parametrize("way", THREADS)
@pytest.mark.parametrize("alias", ["default", "sqlite"])
def test_a_function_whose_block_is_committed_goes_on_outside_it(
    loop_runner: LoopRunner, alias: str, way: Way
) -> None:
    function = WritesTwice(alias, create)

    async def main() -> None:
        with unit_of_work():
            async with django_loom.atomic(alias):
                task = await function.begin(way)
            function.goes_on.set()
            await task

    loop_runner(main)
    assert names(alias) == ["line", "order"]


@pytest.mark.parametrize("way", THREADS)
@pytest.mark.parametrize("alias", ["default", "sqlite"])
def test_a_commit_whose_hook_fails_is_one(loop_runner: LoopRunner, alias: str, way: Way) -> None:
    function = WritesTwice(alias, create)

    def fail() -> None:
        raise Undo

    async def main() -> None:
        with unit_of_work():
            with pytest.raises(Undo):  # noqa: PT012
                async with django_loom.atomic(alias):
                    await run_sync(transaction.on_commit, fail, alias)
                    task = await function.begin(way)
            function.goes_on.set()
            await task

    loop_runner(main)
    assert names(alias) == ["line", "order"]


@pytest.mark.parametrize("way", THREADS)
@pytest.mark.parametrize("alias", ["default", "sqlite"])
def test_who_rolls_back_a_block_itself_goes_on(
    loop_runner: LoopRunner, alias: str, way: Way
) -> None:
    block = transaction.atomic(alias)

    def leave() -> None:
        create(alias, "order")
        block.__exit__(Undo, Undo(), None)
        create(alias)

    async def main() -> None:
        with unit_of_work():
            await in_any_thread(block.__enter__)
            await way(leave)

    loop_runner(main)
    assert names(alias) == ["line"]


@pytest.mark.parametrize("way", THREADS)
@pytest.mark.parametrize("alias", ["default", "sqlite"])
def test_what_begins_after_the_block_is_outside_it(
    loop_runner: LoopRunner, alias: str, way: Way
) -> None:
    """Though its context was copied in the block."""

    async def late() -> None:
        await ended.wait()
        await way(create, alias, "first")
        await way(create, alias, "second")

    async def main() -> None:
        with unit_of_work():
            with suppress(Undo):
                async with django_loom.atomic(alias):
                    await way(create, alias, "undone")
                    task = asyncio.create_task(late())
                    await let_others_run()
                    raise Undo
            ended.set()
            await task

    ended = asyncio.Event()
    loop_runner(main)
    assert names(alias) == ["first", "second"]


def test_a_function_that_waits_for_its_turn_when_its_block_is_rolled_back_writes_nothing(
    loop_runner: LoopRunner,
) -> None:
    function = WritesTwice("default", create)

    async def main() -> None:
        with unit_of_work(), suppress(Undo):
            async with django_loom.atomic():
                task = await function.begin(in_any_thread)
                turn = scopes_in_context()["default"].mutex  # type: ignore[index]
                turn.acquire_nowait()
                ending = asyncio.create_task(end_of_block(turn))
                raise Undo
        await ending
        with pytest.raises(TransactionManagementError):
            await task

    async def end_of_block(turn: Any) -> None:
        await aeventually(lambda: len(turn._waiters) == 1)  # the end of the block
        function.goes_on.set()
        await aeventually(lambda: len(turn._waiters) == 2)
        turn.release()

    loop_runner(main)
    assert not Author.objects.exists()
