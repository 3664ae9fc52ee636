"""Nested blocks: savepoints, on both sides and mixed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

import django_loom
from django_loom import await_, run_sync
from django_loom.exceptions import TransactionBusy
from tests.db.support import (
    ATOMICS,
    Around,
    abackend_pid,
    in_use,
    let_others_run,
    second_alias,
)
from tests.loops import LoopRunner
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables")
inner_with_each = pytest.mark.parametrize("inner", ATOMICS)
outer_with_each = pytest.mark.parametrize("outer", ATOMICS)


class Undo(Exception):
    pass


async def names() -> set[str]:
    return {author.name async for author in Author.objects.all()}


def create(name: str) -> Author:
    return Author.objects.create(name=name)


@outer_with_each
@inner_with_each
def test_the_inner_block_is_undone_alone(
    loop_runner: LoopRunner, outer: Around, inner: Around
) -> None:
    async def inner_body() -> None:
        await Author.objects.acreate(name="inner")
        raise Undo

    async def outer_body() -> None:
        await Author.objects.acreate(name="before")
        with pytest.raises(Undo):
            await inner(inner_body)
        await Author.objects.acreate(name="after")

    async def main() -> None:
        await outer(outer_body)
        assert await names() == {"before", "after"}

    loop_runner(main)


@outer_with_each
@inner_with_each
def test_the_outer_block_undoes_the_inner_too(
    loop_runner: LoopRunner, outer: Around, inner: Around
) -> None:
    async def outer_body() -> None:
        await inner(lambda: Author.objects.acreate(name="inner"))
        raise Undo

    async def main() -> None:
        with pytest.raises(Undo):
            await outer(outer_body)
        assert await names() == set()

    loop_runner(main)


def test_sync_and_async_blocks_nest_in_any_depth(loop_runner: LoopRunner) -> None:
    """Each level writes a row, and every third level is undone."""
    depth = 12

    async def async_level(level: int) -> None:
        try:
            async with django_loom.atomic():
                await Author.objects.acreate(name=f"{level}")
                if level < depth:
                    await run_sync(sync_level, level + 1)
                if level == 9:
                    raise Undo
        except Undo:
            pass

    def sync_level(level: int) -> None:
        with transaction.atomic():
            create(f"{level}")
            assert len(connection.savepoint_ids) == level - 1
            await_(async_level(level + 1))

    async def main() -> None:
        await async_level(1)
        assert await names() == {str(level) for level in range(1, 9)}

    loop_runner(main)


def test_blocks_in_sync_code_alone_nest(loop_runner: LoopRunner) -> None:
    @transaction.atomic
    def undone() -> None:
        create("inner")
        raise Undo

    def sync_code() -> None:
        with transaction.atomic():
            create("outer")
            with pytest.raises(Undo):
                undone()
            with transaction.atomic():
                create("second")

    async def main() -> None:
        await run_sync(sync_code)
        assert await names() == {"outer", "second"}

    loop_runner(main)


def test_explicit_savepoints_work_in_sync_code(loop_runner: LoopRunner) -> None:
    def sync_code() -> None:
        with transaction.atomic():
            create("kept")
            savepoint = connection.savepoint()
            create("undone")
            connection.savepoint_rollback(savepoint)

    async def main() -> None:
        await run_sync(sync_code)
        assert await names() == {"kept"}

    loop_runner(main)


@inner_with_each
def test_sibling_blocks_take_turns(loop_runner: LoopRunner, inner: Around) -> None:
    async def main() -> None:
        running: set[str] = set()

        async def block(name: str) -> None:
            async def body() -> None:
                running.add(name)
                await Author.objects.acreate(name=name)
                await let_others_run()
                await Author.objects.acount()
                assert running == {name}
                running.remove(name)
                if name in "bd":
                    raise Undo

            await inner(body)

        async with django_loom.atomic():
            results = await asyncio.gather(*map(block, "abcde"), return_exceptions=True)
        assert [type(result) for result in results] == [type(None), Undo] * 2 + [type(None)]
        assert await names() == set("ace")

    loop_runner(main)


@inner_with_each
def test_a_block_does_not_swallow_what_a_sibling_writes(
    loop_runner: LoopRunner, inner: Around
) -> None:
    async def main() -> None:
        async with django_loom.atomic():
            block_is_open = asyncio.Event()

            async def sibling() -> None:
                await block_is_open.wait()
                await Author.objects.acreate(name="sibling")

            async def body() -> None:
                await Author.objects.acreate(name="undone")
                block_is_open.set()
                await let_others_run()
                assert await names() == {"undone"}
                raise Undo

            task = asyncio.create_task(sibling())
            await let_others_run()
            with pytest.raises(Undo):
                await inner(body)
            await task
        assert await names() == {"sibling"}

    loop_runner(main)


@inner_with_each
def test_tasks_started_in_a_block_belong_to_it(loop_runner: LoopRunner, inner: Around) -> None:
    async def body() -> None:
        await asyncio.gather(*[Author.objects.acreate(name=f"{n}") for n in range(3)])
        await asyncio.to_thread(create, "thread")
        raise Undo

    async def main() -> None:
        async with django_loom.atomic():
            with pytest.raises(Undo):
                await inner(body)
        assert await names() == set()

    loop_runner(main)


def test_a_block_waits_at_its_end_for_the_statement_of_its_task(loop_runner: LoopRunner) -> None:
    """Neither is the statement lost, nor does it run after the block."""

    async def main() -> None:
        async with django_loom.atomic():
            async with django_loom.atomic():
                task = asyncio.create_task(Author.objects.acreate(name="in flight"))
                await asyncio.sleep(0)
            await task
        assert await names() == {"in flight"}

    loop_runner(main)


def test_waiting_in_a_block_for_a_task_of_the_outer_one_is_an_error(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        async with django_loom.atomic(alias):
            start = asyncio.Event()

            async def outer_task() -> int:
                await start.wait()
                return await abackend_pid(alias)

            task = asyncio.create_task(outer_task())
            await let_others_run()
            async with django_loom.atomic(alias):
                start.set()
                with pytest.raises(TransactionBusy, match="do not await such a task in the inner"):
                    await task
            assert await abackend_pid(alias)

    with second_alias(OPTIONS={"pool": {"timeout": 0.1}}) as alias:
        loop_runner(main)


def test_waiting_in_a_block_for_a_sibling_block_is_an_error(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        async with django_loom.atomic(alias):
            start = asyncio.Event()

            async def sibling() -> None:
                await start.wait()
                async with django_loom.atomic(alias):
                    await abackend_pid(alias)

            task = asyncio.create_task(sibling())
            await let_others_run()
            async with django_loom.atomic(alias):
                start.set()
                with pytest.raises(TransactionBusy, match="has used the transaction's connection"):
                    await task
            async with django_loom.atomic(alias):
                assert await abackend_pid(alias)

    with second_alias(OPTIONS={"pool": {"timeout": 0.1}}) as alias:
        loop_runner(main)


@inner_with_each
def test_a_durable_block_must_be_the_outermost(loop_runner: LoopRunner, inner: Around) -> None:
    async def durable() -> None:
        async with django_loom.atomic(durable=True):
            await Author.objects.acreate(name="durable")

    def sync_durable() -> None:
        with transaction.atomic(durable=True):
            create("sync durable")

    async def nested() -> None:
        with pytest.raises(RuntimeError, match="durable atomic block cannot be nested"):
            await durable()
        with pytest.raises(RuntimeError, match="durable atomic block cannot be nested"):
            await run_sync(sync_durable)
        assert await names() == set()

    async def main() -> None:
        await inner(nested)
        await durable()
        await run_sync(sync_durable)
        assert await names() == {"durable", "sync durable"}

    loop_runner(main)


@inner_with_each
def test_a_block_without_savepoint_marks_the_outer_one_for_rollback(
    loop_runner: LoopRunner, inner: Around
) -> None:
    async def body() -> None:
        with pytest.raises(Undo):
            async with django_loom.atomic(savepoint=False):
                raise Undo
        with pytest.raises(transaction.TransactionManagementError):
            await Author.objects.acount()

    loop_runner(inner, body)


@pytest.mark.parametrize("call", [transaction.get_rollback, transaction.get_autocommit])
def test_sync_code_can_ask_for_the_state_of_the_transaction(
    loop_runner: LoopRunner, call: Callable[[], Any]
) -> None:
    async def main() -> None:
        async with django_loom.atomic():
            assert await run_sync(call) is False

    loop_runner(main)


def test_set_rollback_undoes_the_block_without_an_exception(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        async with django_loom.atomic():
            await Author.objects.acreate(name="undone")
            await run_sync(transaction.set_rollback, True)
        assert await names() == set()

    loop_runner(main)


def test_blocks_of_three_tasks_in_three_transactions_do_not_meet(loop_runner: LoopRunner) -> None:
    @django_loom.atomic
    async def undone(name: str) -> None:
        await Author.objects.acreate(name=f"{name} inner")
        raise Undo

    async def in_transaction(name: str) -> None:
        async with django_loom.atomic():
            await Author.objects.acreate(name=f"{name} outer")
            with pytest.raises(Undo):
                await undone(name)

    async def main() -> None:
        await asyncio.gather(*map(in_transaction, "abc"))
        assert await names() == {"a outer", "b outer", "c outer"}

    loop_runner(main)


def test_a_block_whose_task_does_not_end_its_own_is_not_committed(
    loop_runner: LoopRunner,
) -> None:
    """Leaving the outer block waits for the inner one of the task, in vain; nothing may stay."""
    authors = Author.objects.using("default_again")

    async def main() -> None:
        inside, go_on = asyncio.Event(), asyncio.Event()

        async def task_of_the_block() -> None:
            async with django_loom.atomic(alias):
                await authors.acreate(name="inner")
                inside.set()
                await go_on.wait()
                await authors.acreate(name="too late")

        async def outer() -> None:
            nonlocal task
            async with django_loom.atomic(alias):
                await authors.acreate(name="outer")
                task = asyncio.create_task(task_of_the_block())
                await inside.wait()

        task: asyncio.Task[None]
        with pytest.raises(TransactionBusy):
            await outer()
        assert await authors.acount() == 0
        go_on.set()
        with pytest.raises(DatabaseError):
            await task
        assert await authors.acount() == 0
        assert in_use(alias) == 0
        async with django_loom.atomic(alias):
            await authors.acreate(name="next")
        assert await authors.acount() == 1

    with second_alias(OPTIONS={"pool": {"timeout": 0.1}}) as alias:
        loop_runner(main)


def test_a_block_of_a_thread_does_not_swallow_what_a_task_beside_it_writes(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        block_is_open, tried = asyncio.Event(), threading.Event()

        @transaction.atomic
        def in_thread() -> None:
            create("undone")
            loop.call_soon_threadsafe(block_is_open.set)
            tried.wait()
            for _ in range(5):  # were the task let in, it would have its turn now
                Author.objects.count()
            raise Undo

        async def beside_it() -> None:
            await block_is_open.wait()
            loop.call_soon(tried.set)
            await Author.objects.acreate(name="sibling")

        async with django_loom.atomic():
            results = await asyncio.gather(
                asyncio.to_thread(in_thread), beside_it(), return_exceptions=True
            )
            assert [type(result) for result in results] == [Undo, type(None)]
        assert await names() == {"sibling"}

    loop_runner(main)


def test_a_task_that_waited_for_a_block_that_ended_goes_on_in_the_one_around_it(
    loop_runner: LoopRunner,
) -> None:
    """Its own block is a sibling then of what the outer block does."""

    async def main() -> None:
        opened = asyncio.Event()

        @django_loom.atomic
        async def undone() -> None:
            await Author.objects.acreate(name="undone")
            opened.set()
            await let_others_run()
            await Author.objects.acount()
            raise Undo

        async with django_loom.atomic():
            async with django_loom.atomic():
                await Author.objects.acreate(name="inner")
                task = asyncio.create_task(undone())  # begins while this block ends
            await opened.wait()
            await Author.objects.acreate(name="outer")
            with pytest.raises(Undo):
                await task
        assert await names() == {"inner", "outer"}

    loop_runner(main)


def test_several_tasks_that_waited_for_a_block_that_ended_all_go_on(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        async with django_loom.atomic():
            async with django_loom.atomic():
                await Author.objects.acreate(name="inner")
                tasks = [asyncio.create_task(Author.objects.acreate(name=f"{n}")) for n in range(3)]
            await asyncio.gather(*tasks)
        assert await names() == {"inner", "0", "1", "2"}

    loop_runner(main)
