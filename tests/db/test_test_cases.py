"""In Django's test cases, sync and async tests and clients see the test's transaction."""

from __future__ import annotations

import asyncio
import gc
import unittest
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase

import django_loom
from django_loom import run_sync
from tests.db import suites
from tests.db.support import abackend_pid, backend_pid, in_use, second_alias
from tests.loops import LoopRunner, new_loop
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables")
CASES: list[type[TransactionTestCase]] = [suites.InTransaction, suites.WithoutTransaction]
each_case = pytest.mark.parametrize("case", CASES)


def run(case: type[unittest.TestCase]) -> None:
    result = unittest.TestResult()
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    expected = suite.countTestCases()
    suite.run(result)
    problems = [f"{test}\n{trace}" for test, trace in result.errors + result.failures]
    assert not problems, "\n".join(problems)
    assert result.testsRun == expected
    assert Author.objects.count() == 0


@each_case
def test_run_by_plain_synchronous_code(case: type[TransactionTestCase]) -> None:
    run(case)


@each_case
def test_run_on_a_loop(loop_runner: LoopRunner, case: type[TransactionTestCase]) -> None:
    loop_runner(run_sync, run, case)


@each_case
def test_run_in_a_thread_of_asgiref(case: type[TransactionTestCase]) -> None:
    """As by `sync_to_async(run_tests)`: the async tests run on the loop of another thread."""

    async def main() -> None:
        await asyncio.to_thread(run_and_close, case)

    asyncio.run(main())


def run_and_close(case: type[TransactionTestCase]) -> None:
    try:
        run(case)
    finally:
        connection.close()


def test_a_loop_whose_context_is_older_than_the_transaction_is_in_it(
    loop_runner: LoopRunner,
) -> None:
    """`IsolatedAsyncioTestCase` and async plugins make their loop and its context first."""

    async def check(expected: int) -> None:
        assert await Author.objects.acount() == expected
        await Author.objects.acreate(name=f"{expected}")
        await asyncio.gather(*[Author.objects.acount() for _ in range(3)])

    with asyncio.Runner(loop_factory=lambda: new_loop(loop_runner.kind)) as runner:
        runner.run(asyncio.sleep(0))

        class Case(TestCase):
            def test(self) -> None:
                Author.objects.create(name="sync")
                runner.run(check(1))
                with transaction.atomic():
                    runner.run(check(2))
                    assert Author.objects.count() == 3

        run(Case)
        runner.run(check(0))


def test_a_transaction_of_the_thread_is_used_by_the_loop_it_runs(loop_runner: LoopRunner) -> None:
    async def main() -> tuple[int, int]:
        async with django_loom.atomic():
            await Author.objects.acreate(name="inner")
        return await abackend_pid(), in_use()

    with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012
        pid = backend_pid()
        assert loop_runner(main) == (pid, 1)
        assert Author.objects.count() == 1
        raise ZeroDivisionError
    assert Author.objects.count() == 0


def test_a_transaction_of_the_thread_is_used_by_async_to_sync() -> None:
    async def create() -> int:
        await Author.objects.acreate(name="inner")
        return await abackend_pid()

    with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012
        assert async_to_sync(create)() == backend_pid()
        raise ZeroDivisionError
    assert Author.objects.count() == 0


def test_after_the_transaction_the_loop_has_its_own_connections_again(
    loop_runner: LoopRunner,
) -> None:
    with transaction.atomic():
        pid = backend_pid()
        assert loop_runner(abackend_pid) == pid
    # Its connection is still the thread's.
    assert loop_runner(abackend_pid) != pid


def _next_of_new_iterator(alias: str) -> Any:
    rows = Author.objects.using(alias).iterator(chunk_size=2)
    next(rows)
    return rows


async def by_aiterator(alias: str) -> Any:
    rows = Author.objects.using(alias).aiterator(chunk_size=2)
    async for _ in rows:
        break
    return rows


async def in_a_call(alias: str) -> Any:
    return await run_sync(_next_of_new_iterator, alias)


async def in_a_thread(alias: str) -> Any:
    return await asyncio.to_thread(_next_of_new_iterator, alias)


@pytest.mark.parametrize("on_loop", [False, True])
@pytest.mark.parametrize("pool", [{}, {"pool": {"max_size": 2}}])
@pytest.mark.parametrize("leave", [by_aiterator, in_a_call, in_a_thread])
def test_an_iterator_that_a_test_leaves_half_read_hurts_no_later_one(
    on_loop: bool, pool: dict[str, Any], leave: Callable[[str], Awaitable[Any]]
) -> None:
    """Its cursor has ended with the test: to close it in a later one's transaction fails."""
    left: list[Any] = []

    with second_alias(OPTIONS=pool) as alias:

        class Case(TestCase):
            databases = {alias}

            def setUp(self) -> None:
                Author.objects.using(alias).bulk_create([Author(name=f"{n}") for n in range(9)])

            async def test_1_leaves_one(self) -> None:
                left.append(await leave(alias))
                assert await Author.objects.using(alias).acount() == 9

            def test_2_is_whole(self) -> None:
                assert Author.objects.using(alias).count() == 9

            def test_3_frees_it(self) -> None:
                left.clear()
                gc.collect()
                assert Author.objects.using(alias).count() == 9

            async def test_4_is_whole(self) -> None:
                assert await Author.objects.using(alias).acount() == 9

        if on_loop:
            asyncio.run(run_sync(run, Case))
        else:
            run(Case)
    gc.collect()
