"""`transaction.on_commit` from async code and from sync code on a loop."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection, transaction

import django_loom
from django_loom import run_sync
from tests.db.support import ATOMICS, Around, abackend_pid, in_async_with, in_use, let_others_run
from tests.loops import LoopRunner
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables")
around_with_each = pytest.mark.parametrize("around", ATOMICS)


class Undo(Exception):
    pass


@around_with_each
def test_sync_and_async_callbacks_run_in_order_after_the_commit(
    loop_runner: LoopRunner, around: Around
) -> None:
    calls: list[Any] = []

    async def async_callback() -> None:
        await let_others_run(2)
        calls.append(("async", await Author.objects.acount()))

    async def body() -> None:
        await Author.objects.acreate(name="Ann")
        transaction.on_commit(lambda: calls.append("first"))
        transaction.on_commit(async_callback)
        transaction.on_commit(lambda: calls.append("last"))
        assert calls == []

    async def main() -> None:
        await around(body)
        assert calls == ["first", ("async", 1), "last"]

    loop_runner(main)


def test_callbacks_registered_by_sync_code_may_be_async(loop_runner: LoopRunner) -> None:
    calls: list[int] = []

    async def callback() -> None:
        calls.append(await Author.objects.acount())

    def sync_code() -> None:
        with transaction.atomic():
            Author.objects.create(name="Ann")
            transaction.on_commit(callback)
        assert calls == [1]

    async def main() -> None:
        await run_sync(sync_code)

    loop_runner(main)


@around_with_each
def test_callbacks_do_not_run_after_a_rollback(loop_runner: LoopRunner, around: Around) -> None:
    calls: list[str] = []

    async def body() -> None:
        await Author.objects.acreate(name="Ann")
        transaction.on_commit(lambda: calls.append("never"))
        raise Undo

    async def main() -> None:
        with pytest.raises(Undo):
            await around(body)
        # Nor are they run by the next transaction, which has the same connection.
        await around(lambda: Author.objects.acreate(name="Bea"))
        assert calls == []

    loop_runner(main)


@around_with_each
def test_callbacks_of_an_undone_inner_block_do_not_run(
    loop_runner: LoopRunner, around: Around
) -> None:
    calls: list[str] = []

    def note(what: str) -> None:
        transaction.on_commit(lambda: calls.append(what))

    async def undone() -> None:
        note("undone")
        raise Undo

    async def kept() -> None:
        note("kept")

    async def body() -> None:
        note("before")
        with pytest.raises(Undo):
            await around(undone)
        await around(kept)
        note("after")

    async def main() -> None:
        await around(body)
        assert calls == ["before", "kept", "after"]

    loop_runner(main)


def test_callbacks_of_child_tasks_and_threads_run(loop_runner: LoopRunner) -> None:
    calls: list[str] = []

    async def task() -> None:
        transaction.on_commit(lambda: calls.append("task"))

    def thread() -> None:
        transaction.on_commit(lambda: calls.append("thread"))

    async def main() -> None:
        async with django_loom.atomic():
            await asyncio.create_task(task())
            await asyncio.to_thread(thread)
            assert calls == []
        assert calls == ["task", "thread"]

    loop_runner(main)


@around_with_each
def test_callbacks_are_outside_the_transaction(loop_runner: LoopRunner, around: Around) -> None:
    """They may begin another, wait for other tasks, and use the database in them."""
    seen: list[Any] = []

    async def callback() -> None:
        seen.append(await run_sync(lambda: connection.in_atomic_block))
        async with django_loom.atomic(durable=True):
            await Author.objects.acreate(name="by the callback")
        await asyncio.gather(*[abackend_pid() for _ in range(3)])

    def sync_callback() -> None:
        seen.append(connection.in_atomic_block)
        with transaction.atomic(durable=True):
            Author.objects.create(name="by the sync callback")

    async def body() -> None:
        transaction.on_commit(callback)
        transaction.on_commit(sync_callback)

    async def main() -> None:
        await around(body)
        assert seen == [False, False]
        assert await Author.objects.acount() == 2
        assert in_use() == 0

    loop_runner(main)


def test_what_a_callback_writes_stays_when_a_later_one_fails(loop_runner: LoopRunner) -> None:
    calls: list[str] = []

    async def write() -> None:
        await Author.objects.acreate(name="by the callback")

    def fail() -> None:
        raise Undo

    async def body() -> None:
        transaction.on_commit(write)
        transaction.on_commit(fail)
        transaction.on_commit(lambda: calls.append("not reached"))

    async def main() -> None:
        with pytest.raises(Undo):
            await in_async_with(body)
        assert await Author.objects.acount() == 1
        assert calls == []
        async with django_loom.atomic():
            await Author.objects.acreate(name="afterwards")
        assert await Author.objects.acount() == 2

    loop_runner(main)


def test_a_robust_callback_that_fails_does_not_stop_the_others(
    loop_runner: LoopRunner, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    async def fail() -> None:
        await asyncio.sleep(0)
        raise Undo("robust")

    async def main() -> None:
        async with django_loom.atomic():
            transaction.on_commit(fail, robust=True)
            transaction.on_commit(lambda: calls.append("next"))
        assert calls == ["next"]

    with caplog.at_level(logging.ERROR, logger="django.db.backends.base"):
        loop_runner(main)
    assert "robust" in caplog.text


def test_outside_a_transaction_a_callback_runs_at_once(loop_runner: LoopRunner) -> None:
    calls: list[str] = []

    async def main() -> None:
        transaction.on_commit(lambda: calls.append("async code"))
        await run_sync(transaction.on_commit, lambda: calls.append("sync code"))
        assert calls == ["async code", "sync code"]

    loop_runner(main)


def test_outside_a_transaction_an_async_callback_runs_at_once_in_sync_code(
    loop_runner: LoopRunner,
) -> None:
    calls: list[int] = []

    async def callback() -> None:
        calls.append(await Author.objects.acount())

    async def main() -> None:
        await run_sync(transaction.on_commit, callback)
        assert calls == [0]
        with pytest.raises(SynchronousOnlyOperation, match=r"Write `await callback\(\)`"):
            transaction.on_commit(callback)

    loop_runner(main)


def test_a_callback_may_register_another(loop_runner: LoopRunner) -> None:
    calls: list[str] = []

    async def callback() -> None:
        calls.append("first")
        async with django_loom.atomic():
            transaction.on_commit(lambda: calls.append("second"))

    async def main() -> None:
        async with django_loom.atomic():
            transaction.on_commit(callback)
        assert calls == ["first", "second"]

    loop_runner(main)


def test_a_callback_may_wait_for_a_task_that_uses_the_database(loop_runner: LoopRunner) -> None:
    """Also for one that was started in the transaction: it is over for both."""
    counts: list[int] = []

    async def main() -> None:
        committed = asyncio.Event()

        async def task_of_the_transaction() -> None:
            await committed.wait()
            counts.append(await Author.objects.acount())

        async def callback() -> None:
            committed.set()
            await task

        async with django_loom.atomic():
            await Author.objects.acreate(name="Ann")
            task = asyncio.create_task(task_of_the_transaction())
            transaction.on_commit(callback)
        assert counts == [1]

    loop_runner(main)


@pytest.mark.parametrize("callback", [None, "text"])
def test_what_is_not_callable_is_refused(loop_runner: LoopRunner, callback: Any) -> None:
    async def main() -> None:
        async with django_loom.atomic():
            with pytest.raises(TypeError, match="must be a callable"):
                transaction.on_commit(callback)
        with pytest.raises(TypeError):
            transaction.on_commit(callback)

    loop_runner(main)
