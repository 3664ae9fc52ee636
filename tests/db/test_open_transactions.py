"""A transaction without `atomic()` is its unit's, in whatever flow the unit's code goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction

from django_loom import await_, run_sync
from tests.db.support import in_use
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.testapp.models import Author

Inner = Callable[[str], Awaitable[Any]]

pytestmark = pytest.mark.usefixtures("db_tables", "sqlite_tables")


def write_and_count(using: str) -> int:
    Author.objects.using(using).create(name="Bea")
    return Author.objects.using(using).count()


async def in_a_call(using: str) -> int:
    return await run_sync(write_and_count, using)


async def in_a_thread(using: str) -> int:
    return await sync_to_async(write_and_count)(using)


async def in_a_library_thread(using: str) -> int:
    return await asyncio.to_thread(write_and_count, using)


async def in_async_code(using: str) -> int:
    await Author.objects.using(using).acreate(name="Bea")
    return await Author.objects.using(using).acount()


INNERS: list[Inner] = [in_a_call, in_a_thread, in_a_library_thread, in_async_code]


def begin_by_autocommit(using: str) -> None:
    transaction.set_autocommit(False, using=using)


def begin_by_statement(using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute("BEGIN")


def end_autocommit(using: str) -> None:
    transaction.rollback(using=using)
    transaction.set_autocommit(True, using=using)


def end_statement(using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute("ROLLBACK")


WAYS = [(begin_by_autocommit, end_autocommit), (begin_by_statement, end_statement)]


@pytest.mark.parametrize("way", WAYS, ids=["autocommit", "BEGIN"])
@pytest.mark.parametrize("inner", INNERS)
@pytest.mark.parametrize("using", ["default", "sqlite"])
@pytest.mark.parametrize("outer_in_thread", [False, True], ids=["outer-on-loop", "outer-in-thread"])
def test_code_inside_an_open_transaction_is_in_it(
    loop_runner: LoopRunner, using: str, inner: Inner, way: Any, outer_in_thread: bool
) -> None:
    begin, end = way

    def middleware() -> Any:
        begin(using)
        Author.objects.using(using).create(name="Ann")
        try:
            if not outer_in_thread:
                return await_(inner(using))
            from asgiref.sync import async_to_sync

            return async_to_sync(inner)(using)
        finally:
            end(using)

    async def request() -> Any:
        return await run_sync(middleware if not outer_in_thread else in_its_thread)

    def in_its_thread() -> Any:
        return await_(sync_to_async(middleware)())

    async def main() -> None:
        assert await asyncio.gather(request(), *([request()] if using == "default" else [])) in (
            [2],
            [2, 2],
        )
        await aeventually(lambda: in_use(using) == 0)
        assert await Author.objects.using(using).acount() == 0

    loop_runner(main)


@pytest.mark.parametrize("using", ["default", "sqlite"])
def test_code_of_another_unit_is_not_in_it(loop_runner: LoopRunner, using: str) -> None:
    begun, counted = asyncio.Event(), asyncio.Event()

    async def pause() -> None:
        begun.set()
        await counted.wait()

    def middleware() -> None:
        begin_by_autocommit(using)
        Author.objects.using(using).create(name="Ann")
        await_(pause())
        end_autocommit(using)

    async def other() -> None:
        await begun.wait()
        assert await Author.objects.using(using).acount() == 0
        counted.set()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(run_sync(middleware))
            group.create_task(other())
        await aeventually(lambda: in_use(using) == 0)

    loop_runner(main)
