"""Blocks that tasks, generators, test helpers and other apps share with us."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import unittest
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from unittest import mock

import pytest
from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import Atomic
from django.test import TestCase

import django_loom
from django_loom import await_, run_sync
from django_loom.bridge import unit_of_work
from tests.db.support import in_use, let_others_run
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables")


async def names() -> list[str]:
    return sorted([author.name async for author in Author.objects.all()])


@pytest.mark.parametrize("leaves_first", ["first", "second"])
@pytest.mark.parametrize("fails", ["first", "second"])
def test_two_tasks_may_use_one_atomic_object(
    loop_runner: LoopRunner, fails: str, leaves_first: str
) -> None:
    async def main() -> None:
        block = django_loom.atomic()
        inside = {"first": asyncio.Event(), "second": asyncio.Event()}
        may_leave = {"first": asyncio.Event(), "second": asyncio.Event()}

        async def use(name: str) -> None:
            async with block:
                await Author.objects.acreate(name=name)
                inside[name].set()
                await may_leave[name].wait()
                if name == fails:
                    raise ZeroDivisionError

        tasks = {}
        for name in inside:
            tasks[name] = asyncio.create_task(use(name))
            await inside[name].wait()
        for name in sorted(tasks, key=leaves_first.__ne__):
            may_leave[name].set()
            await asyncio.wait([tasks[name]])
        failed = {name: repr(task.exception()) for name, task in tasks.items() if task.exception()}
        assert failed == {fails: "ZeroDivisionError()"}
        assert (await names(), in_use()) == ([name for name in tasks if name != fails], 0)

    loop_runner(main)


async def in_unit(block: Any, name: str) -> AsyncIterator[None]:
    with unit_of_work():
        async with block:
            await Author.objects.acreate(name=name)
            yield


async def named(block: Any, name: str) -> AsyncIterator[None]:
    async with block:
        await Author.objects.acreate(name=name)
        yield


@pytest.mark.parametrize("how", ["dropped", "collected"])
def test_a_generator_that_the_loop_closes_leaves_its_own_block(
    loop_runner: LoopRunner, how: str
) -> None:
    """It does so in a task with the context of whoever dropped it, which is in a block, too."""

    async def main() -> None:
        block = django_loom.atomic()
        left: list[Any] = [in_unit(block, "generator")]
        await asyncio.create_task(anext(left[0]))
        if how == "collected":
            left[0] = [left[0], left]
        with unit_of_work():
            async with block:
                await Author.objects.acreate(name="before")
                left.clear() if how == "dropped" else left.pop()
                gc.collect()
                await aeventually(lambda: in_use() == 1)
                await Author.objects.acreate(name="after")
        assert (await names(), in_use()) == (["after", "before"], 0)

    loop_runner(main)


def test_generators_that_are_ended_in_other_tasks_leave_their_own_blocks(
    loop_runner: LoopRunner,
) -> None:
    """As fixtures of test tools are, one of which fails."""

    async def main() -> None:
        block = django_loom.atomic()
        fails, ends = in_unit(block, "fails"), in_unit(block, "ends")
        for each in (fails, ends):
            await asyncio.create_task(anext(each))
        with pytest.raises(ZeroDivisionError):
            await asyncio.create_task(fails.athrow(ZeroDivisionError))  # type: ignore[attr-defined]
        with pytest.raises(StopAsyncIteration):
            await asyncio.create_task(anext(ends))
        assert (await names(), in_use()) == (["ends"], 0)

    loop_runner(main)


class Wrapped:
    """Enters and leaves a block of others, in frames that end at once."""

    def __init__(self, block: Any) -> None:
        self.block = block

    async def __aenter__(self) -> None:
        await call(self.block.__aenter__)

    async def __aexit__(self, *error: Any) -> None:
        await call(self.block.__aexit__, *error)


async def call(method: Any, *args: Any) -> None:
    await method(*args)


def test_tasks_that_enter_one_object_through_others_leave_their_own_blocks(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        block = django_loom.atomic()

        async def use(number: int) -> None:
            async with Wrapped(block):
                await Author.objects.acreate(name=f"{number}")
                await let_others_run(7 * number % 5)
                if number % 2:
                    raise ZeroDivisionError

        for _ in range(5):
            await asyncio.gather(*map(use, range(6)), return_exceptions=True)
            assert (await names(), in_use()) == (["0", "2", "4"], 0)
            await Author.objects.all().adelete()

    loop_runner(main)


@pytest.mark.parametrize("same", [False, True], ids=["own object", "one object"])
def test_a_block_in_which_a_generator_was_left_is_its_own(
    loop_runner: LoopRunner, same: bool
) -> None:
    """Its task's context names the generator's, which is closed afterwards."""

    async def main() -> None:
        block = django_loom.atomic()
        async with block:
            await Author.objects.acreate(name="ours")
            left = named(block if same else django_loom.atomic(), "left")
            async for _ in left:
                break
            del left
        assert (await names(), in_use()) == (["ours"], 0)

    loop_runner(main)


@pytest.mark.parametrize("same", [False, True], ids=["two objects", "one object"])
@pytest.mark.parametrize("fails", [None, "outer", "inner"])
def test_blocks_may_be_left_in_the_order_in_which_they_were_entered(
    loop_runner: LoopRunner, fails: str | None, same: bool
) -> None:
    """By hand, as Django's may: what is left first counts as the inner one."""

    def error(name: str) -> tuple[Any, Any, None]:
        return (KeyError, KeyError(), None) if name == fails else (None, None, None)

    def synchronously() -> None:
        outer, inner = transaction.atomic(), transaction.atomic()
        outer.__enter__()
        Author.objects.create(name="in the outer")
        inner.__enter__()
        Author.objects.create(name="in the inner")
        outer.__exit__(*error("outer"))
        Author.objects.create(name="after the first")
        inner.__exit__(*error("inner"))

    async def asynchronously() -> None:
        outer = django_loom.atomic()
        inner = outer if same else django_loom.atomic()
        await outer.__aenter__()
        await Author.objects.acreate(name="in the outer")
        await inner.__aenter__()
        await Author.objects.acreate(name="in the inner")
        await outer.__aexit__(*error("outer"))
        await Author.objects.acreate(name="after the first")
        await inner.__aexit__(*error("inner"))

    async def main() -> None:
        await run_sync(synchronously)
        expected = await names()
        await Author.objects.all().adelete()
        await asynchronously()
        assert (await names(), in_use()) == (expected, 0)

    loop_runner(main)


def test_a_generator_that_is_left_in_a_block_is_not_taken_for_the_blocks_code(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        async with django_loom.atomic():
            await Author.objects.acreate(name="ours")
            async for _ in named(django_loom.atomic(), "left"):
                break
        assert (await names(), in_use()) == (["ours"], 0)

    loop_runner(main)


def test_a_block_left_by_an_exit_stack_is_the_contexts(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        block = django_loom.atomic()
        inside = asyncio.Event()

        async def other() -> None:
            async with block:
                await Author.objects.acreate(name="other")
                inside.set()
                await asyncio.sleep(60)

        stack = AsyncExitStack()
        await stack.enter_async_context(block)
        await Author.objects.acreate(name="of the stack")
        task = asyncio.create_task(other(), context=contextvars.Context())
        await inside.wait()
        await stack.aclose()
        task.cancel()
        await asyncio.wait([task])
        assert (await names(), in_use()) == (["of the stack"], 0)

    loop_runner(main)


def test_tasks_of_one_context_leave_the_blocks_of_other_databases_alone(
    loop_runner: LoopRunner,
) -> None:
    """One waits at its block's end, while the other enters one."""

    async def main() -> None:
        may_enter, may_end = asyncio.Event(), asyncio.Event()

        async def first() -> None:
            async with django_loom.atomic():
                await Author.objects.acreate(name="first")
                await run_sync(transaction.on_commit, lambda: await_(at_the_end()))

        async def at_the_end() -> None:
            may_enter.set()
            await may_end.wait()

        async def second() -> None:
            await may_enter.wait()
            async with django_loom.atomic("other"):
                may_end.set()
                await asyncio.wait([tasks[0]])
                await Author.objects.using("other").acreate(name="second")
                raise ZeroDivisionError

        context = contextvars.copy_context()
        tasks = [asyncio.create_task(each(), context=context) for each in (first, second)]
        await asyncio.wait(tasks)
        assert isinstance(tasks[1].exception(), ZeroDivisionError)
        assert (await names(), in_use(), in_use("other")) == (["first"], 0, 0)
        assert not await Author.objects.using("other").aexists()

    loop_runner(main)


async def in_a_block() -> AsyncIterator[int]:
    async with django_loom.atomic():
        await Author.objects.acreate(name="inside")
        yield 1
        yield 2


@pytest.mark.parametrize("how", ["break", "aclose", "collected"])
def test_a_generator_that_is_left_takes_nothing_with_it(loop_runner: LoopRunner, how: str) -> None:
    async def leave() -> None:
        if how == "break":
            async for _ in in_a_block():
                break
            return
        generator: Any = in_a_block()
        await anext(generator)
        if how == "aclose":
            await generator.aclose()
        else:
            generator = [generator]
            generator.append(generator)
            del generator
            gc.collect()

    async def main() -> None:
        await leave()
        await Author.objects.acreate(name="afterwards")
        await let_others_run()
        assert (await names(), in_use()) == (["afterwards"], 0)

    loop_runner(main)


def test_a_method_of_atomic_that_another_app_has_replaced_is_called(
    loop_runner: LoopRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered: list[str | None] = []
    enter = Atomic.__enter__

    def counted(block: Atomic) -> None:
        entered.append(block.using)
        enter(block)

    monkeypatch.setattr(Atomic, "__enter__", counted)

    async def main() -> None:
        async with django_loom.atomic():
            await Author.objects.acreate(name="Ann")

    loop_runner(main)
    assert entered == [None]


class CommitHooks(TestCase):
    __test__ = False  # not by pytest

    def write(self, callback: Any) -> None:
        with transaction.atomic():
            Author.objects.create(name="Ann")
            transaction.on_commit(callback)

    async def test_callbacks_use_the_orm(self) -> None:
        log: list[int] = []
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            await run_sync(self.write, lambda: log.append(Author.objects.count()))
        assert (log, len(callbacks)) == ([1], 1)
        assert await Author.objects.acount() == 1

    async def test_callbacks_are_only_given(self) -> None:
        log: list[int] = []
        with self.captureOnCommitCallbacks() as callbacks:
            await run_sync(self.write, lambda: log.append(1))
        assert (log, len(callbacks)) == ([], 1)

    async def test_synchronous_code_on_the_loop(self) -> None:
        def block() -> tuple[list[int], int]:
            log: list[int] = []
            with self.captureOnCommitCallbacks(execute=True) as callbacks:
                self.write(lambda: log.append(Author.objects.count()))
            return log, len(callbacks)

        assert await run_sync(block) == ([1], 1)

    async def test_a_cursor_that_was_left_half_read(self) -> None:
        await Author.objects.abulk_create([Author(name=f"{n}") for n in range(9)])
        async for _ in Author.objects.aiterator(chunk_size=2):
            break

    async def test_later_ones_are_whole(self) -> None:
        gc.collect()
        assert await Author.objects.acount() == 0


def test_commit_hooks_in_test_cases() -> None:
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(CommitHooks).run(result)
    assert [trace for _, trace in result.errors + result.failures] == []
    assert result.testsRun == 5


def test_the_old_helper_that_runs_commit_hooks_ends_no_block(loop_runner: LoopRunner) -> None:
    def run_hooks() -> None:
        with mock.patch.object(BaseDatabaseWrapper, "validate_no_atomic_block", return_value=False):
            connection.run_and_clear_commit_hooks()

    called: list[int] = []
    with pytest.raises(ZeroDivisionError), transaction.atomic(), transaction.atomic():  # noqa: PT012
        Author.objects.create(name="Ann")
        transaction.on_commit(lambda: called.append(1))
        run_hooks()
        assert called == [1]
        assert loop_runner(names) == ["Ann"]
        raise ZeroDivisionError
    assert loop_runner(names) == []
