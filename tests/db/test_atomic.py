"""Inside a transaction every call of the context uses its connection, one at a time."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, connection, transaction

import django_loom
from django_loom import await_, run_sync
from tests.db.support import (
    ATOMICS,
    Around,
    aask,
    abackend_pid,
    backend_pid,
    in_use,
    let_others_run,
)
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.testapp.models import Author, Book

pytestmark = pytest.mark.usefixtures("db_tables")
around_with_each = pytest.mark.parametrize("around", ATOMICS)


class Undo(Exception):
    pass


async def in_child_task() -> list[int]:
    return [await asyncio.create_task(abackend_pid())]


async def in_gather() -> list[int]:
    return await asyncio.gather(*[abackend_pid() for _ in range(5)])


async def in_nested_gather() -> list[int]:
    results = await asyncio.gather(*[in_gather() for _ in range(3)])
    return [pid for pids in results for pid in pids]


async def in_task_group() -> list[int]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(abackend_pid()) for _ in range(3)]
    return [task.result() for task in tasks]


async def in_users_sync_to_async() -> list[int]:
    return await asyncio.gather(*[sync_to_async(backend_pid)() for _ in range(3)])


async def in_free_threads() -> list[int]:
    free = sync_to_async(backend_pid, thread_sensitive=False)
    return await asyncio.gather(*[free() for _ in range(3)])


async def in_to_thread() -> list[int]:
    return await asyncio.gather(*[asyncio.to_thread(backend_pid) for _ in range(3)])


async def in_sync_code() -> list[int]:
    return [await run_sync(backend_pid), backend_pid_below_the_call()]


def backend_pid_below_the_call() -> int:
    return asyncio.get_running_loop() and connection.connection.info.backend_pid


async def in_nested_calls() -> list[int]:
    return [await run_sync(lambda: await_(run_sync(lambda: await_(abackend_pid()))))]


async def in_everything_at_once() -> list[int]:
    results = await asyncio.gather(
        in_nested_gather(), in_to_thread(), in_users_sync_to_async(), in_nested_calls()
    )
    return [pid for pids in results for pid in pids]


@around_with_each
@pytest.mark.parametrize(
    "others",
    [
        in_child_task,
        in_gather,
        in_nested_gather,
        in_task_group,
        in_users_sync_to_async,
        in_free_threads,
        in_to_thread,
        in_sync_code,
        in_nested_calls,
        in_everything_at_once,
    ],
)
def test_every_call_of_the_context_uses_the_transactions_connection(
    loop_runner: LoopRunner, around: Around, others: Callable[[], Awaitable[list[int]]]
) -> None:
    async def body() -> None:
        pid = await abackend_pid()
        assert set(await others()) == {pid}
        assert in_use() == 1

    loop_runner(around, body)


@around_with_each
def test_what_is_written_is_committed_at_the_end(loop_runner: LoopRunner, around: Around) -> None:
    async def main() -> None:
        async def body() -> None:
            await asyncio.gather(*[Author.objects.acreate(name=f"{n}") for n in range(5)])
            assert await aask("SELECT count(*) FROM testapp_author") == 5
            assert await outside(Author.objects.acount) == 0

        outside = _outside()
        await around(body)
        assert await Author.objects.acount() == 5

    loop_runner(main)


@around_with_each
def test_an_exception_rolls_everything_back(loop_runner: LoopRunner, around: Around) -> None:
    async def body() -> None:
        await asyncio.gather(
            Author.objects.acreate(name="task"),
            asyncio.to_thread(Author.objects.create, name="thread"),
            sync_to_async(Author.objects.create)(name="helper thread"),
        )
        raise Undo

    async def main() -> None:
        with pytest.raises(Undo):
            await around(body)
        assert await Author.objects.acount() == 0
        assert in_use() == 0

    loop_runner(main)


@around_with_each
def test_the_transaction_keeps_its_connection_while_it_awaits_something_else(
    loop_runner: LoopRunner, around: Around
) -> None:
    async def body() -> None:
        await abackend_pid()
        await asyncio.sleep(0)
        assert in_use() == 1

    loop_runner(around, body)


def _outside() -> Callable[..., Awaitable[Any]]:
    """`outside(function)` awaits it in a task that is not in the transaction."""
    context = copy_context()

    async def outside(function: Callable[..., Any], *args: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.create_task(function(*args), context=context.copy())

    return outside


@around_with_each
def test_a_task_that_began_before_the_transaction_is_not_in_it(
    loop_runner: LoopRunner, around: Around
) -> None:
    async def main() -> None:
        begin = asyncio.Event()

        async def before() -> int:
            await begin.wait()
            return await abackend_pid()

        task = asyncio.create_task(before())
        await let_others_run()

        async def body() -> None:
            pid = await abackend_pid()
            begin.set()
            assert await task != pid
            assert await abackend_pid() == pid

        await around(body)

    loop_runner(main)


@around_with_each
def test_a_task_that_outlives_the_transaction_goes_on_outside_it(
    loop_runner: LoopRunner, around: Around
) -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def outlives() -> None:
            await Author.objects.acreate(name="inside")
            await ended.wait()
            await Author.objects.acreate(name="after")

        async def body() -> None:
            nonlocal task
            task = asyncio.create_task(outlives())
            while not await Author.objects.filter(name="inside").aexists():
                pass
            raise Undo

        task: asyncio.Task[None]
        with pytest.raises(Undo):
            await around(body)
        ended.set()
        await task
        assert [author.name async for author in Author.objects.all()] == ["after"]

    loop_runner(main)


def test_transactions_of_two_tasks_have_their_own_connections(loop_runner: LoopRunner) -> None:
    async def in_transaction(mine: asyncio.Event, others: asyncio.Event) -> int:
        async with django_loom.atomic():
            pid = await abackend_pid()
            mine.set()
            await others.wait()
            assert await abackend_pid() == pid
        return pid

    async def main() -> None:
        one, two = asyncio.Event(), asyncio.Event()
        pids = await asyncio.gather(in_transaction(one, two), in_transaction(two, one))
        assert len(set(pids)) == 2

    loop_runner(main)


def test_an_isolated_transaction_is_not_seen_by_other_tasks(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        outside = _outside()
        async with django_loom.atomic():
            await Author.objects.acreate(name="Ann")
            assert not await outside(Author.objects.filter(name="Ann").aexists)
        assert await outside(Author.objects.filter(name="Ann").aexists)

    loop_runner(main)


@around_with_each
def test_an_error_in_one_of_several_calls_ends_the_transaction(
    loop_runner: LoopRunner, around: Around
) -> None:
    async def body() -> None:
        await Author.objects.acreate(name="Ann")
        results = await asyncio.gather(
            *[Author.objects.acreate(name="Ann") for _ in range(3)], return_exceptions=True
        )
        assert isinstance(results[0], IntegrityError)
        errors = (IntegrityError, transaction.TransactionManagementError)
        assert all(isinstance(result, errors) for result in results)
        with pytest.raises(transaction.TransactionManagementError):
            await Author.objects.acount()

    async def main() -> None:
        await around(body)
        assert await Author.objects.acount() == 0

    loop_runner(main)


@around_with_each
def test_gather_that_raises_leaves_no_call_behind_that_writes(
    loop_runner: LoopRunner, around: Around
) -> None:
    """`gather` does not cancel the others: they end before the rollback, or after it outside."""

    async def body() -> None:
        await Author.objects.acreate(name="Ann")
        await asyncio.gather(
            Author.objects.acreate(name="Ann"),
            *[abackend_pid() for _ in range(5)],
        )

    async def main() -> None:
        with pytest.raises(IntegrityError):
            await around(body)
        assert await Author.objects.acount() == 0
        await let_others_run(200)

    loop_runner(main)


def test_rows_locked_by_select_for_update_stay_locked_until_the_end(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        author = await Author.objects.acreate(name="Ann")
        outside = _outside()

        async def count_free_rows() -> int:
            async with django_loom.atomic():
                free = Author.objects.select_for_update(skip_locked=True)
                return len([row async for row in free])

        async with django_loom.atomic():
            locked = await Author.objects.select_for_update().aget(pk=author.pk)
            assert await outside(count_free_rows) == 0
            locked.name = "Bea"
            await locked.asave()
        assert await outside(count_free_rows) == 1

    loop_runner(main)


def test_select_for_update_outside_a_transaction_is_refused(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        await Author.objects.acreate(name="Ann")
        with pytest.raises(transaction.TransactionManagementError):
            await Author.objects.select_for_update().aget()

    loop_runner(main)


@around_with_each
def test_writing_to_relations_takes_part(loop_runner: LoopRunner, around: Around) -> None:
    async def body() -> None:
        author = await Author.objects.acreate(name="Ann")
        book = await author.books.acreate(title="Looms")
        await book.tags.acreate(name="craft")
        await book.notes.acreate(text="good")
        assert [tag.name async for tag in book.tags.all()] == ["craft"]
        raise Undo

    async def main() -> None:
        # As in stock Django, `book.notes` itself would ask the database if this were not known.
        await run_sync(ContentType.objects.get_for_model, Book)
        with pytest.raises(Undo):
            await around(body)
        assert await Book.objects.acount() == 0

    loop_runner(main)


def test_a_decorated_function_can_run_several_times_at_once(loop_runner: LoopRunner) -> None:
    @django_loom.atomic
    async def pid() -> int:
        await let_others_run(3)
        return await abackend_pid()

    @django_loom.atomic(using="other")
    async def other_pid() -> int:
        return await abackend_pid("other")

    async def main() -> None:
        assert len(set(await asyncio.gather(*[pid() for _ in range(4)]))) > 1
        assert await other_pid()

    loop_runner(main)


def test_only_async_functions_can_be_decorated() -> None:
    with pytest.raises(TypeError, match=r"Use django\.db\.transaction\.atomic for synchronous"):
        django_loom.atomic(lambda: None)


def test_a_thread_with_a_context_of_its_own_is_not_in_the_transaction(
    loop_runner: LoopRunner,
) -> None:
    """A thread pool's thread has not copied the context; it uses its own connection."""

    def in_thread() -> int:
        try:
            return backend_pid()
        finally:
            connection.close()

    async def main() -> None:
        with ThreadPoolExecutor(1) as executor:
            async with django_loom.atomic():
                loop = asyncio.get_running_loop()
                pid = await loop.run_in_executor(executor, in_thread)
                assert pid != await abackend_pid()

    loop_runner(main)


def test_a_block_may_be_left_in_another_task(loop_runner: LoopRunner) -> None:
    """As the fixtures of some test tools do, and generators that the loop closes."""

    async def main() -> None:
        block = django_loom.atomic()
        await asyncio.create_task(block.__aenter__())
        assert in_use() == 1
        await Author.objects.acreate(name="outside")
        await asyncio.create_task(block.__aexit__(None, None, None))
        assert in_use() == 0
        assert await Author.objects.acount() == 1

    loop_runner(main)


def test_a_generator_left_inside_a_block_rolls_it_back(loop_runner: LoopRunner) -> None:
    async def numbers() -> AsyncIterator[int]:
        async with django_loom.atomic():
            await Author.objects.acreate(name="undone")
            yield 1
            yield 2

    async def first() -> int:
        return await anext(numbers())

    async def main() -> None:
        assert await asyncio.create_task(first()) == 1
        gc.collect()
        await aeventually(lambda: in_use() == 0)
        assert await Author.objects.acount() == 0

    loop_runner(main)


def test_a_transaction_of_a_thread_covers_the_async_code_that_it_calls(
    loop_runner: LoopRunner,
) -> None:
    """A sync view with ATOMIC_REQUESTS, say, that calls an async function on the server's loop."""

    async def both() -> set[int]:
        return set(await asyncio.gather(abackend_pid(), run_sync(backend_pid)))

    def in_thread() -> None:
        with transaction.atomic():
            pid = backend_pid()
            assert async_to_sync(both)() == {pid}
            async_to_sync(Author.objects.acreate)(name="undone")
            raise Undo

    async def main() -> None:
        with pytest.raises(Undo):
            await sync_to_async(in_thread)()
        assert await Author.objects.acount() == 0
        assert in_use() == 0

    with warnings.catch_warnings():
        # asgiref warns of a function whose being async it cannot see.
        warnings.filterwarnings("ignore", "async_to_sync was passed a non-async-marked callable")
        loop_runner(main)
