"""Query logs hold for a context and its tasks, not for a connection."""

from __future__ import annotations

import asyncio
from contextvars import Context

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, connections, reset_queries, transaction
from django.test import TransactionTestCase
from django.test.testcases import _AssertNumQueriesContext
from django.test.utils import CaptureQueriesContext, override_settings

import django_loom
from django_loom import run_sync
from django_loom.db import parking
from tests.db.query_capture import Recorder
from tests.loops import LoopRunner
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables")


def assert_num_queries(number: int, using: str = "default") -> CaptureQueriesContext:
    """What `TransactionTestCase.assertNumQueries` returns."""
    return _AssertNumQueriesContext(TransactionTestCase(), number, connections[using])


def test_captured_queries_are_those_of_the_block(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        await Author.objects.acount()
        with CaptureQueriesContext(connection) as captured:
            await Author.objects.acreate(name="Ann")
            await Author.objects.aget(name="Ann")
        await Author.objects.acount()
        assert len(captured) == 2
        assert captured[0]["sql"].startswith("INSERT")
        assert "'Ann'" in captured[1]["sql"]

    loop_runner(main)


def test_captures_of_concurrent_tasks_are_apart(loop_runner: LoopRunner) -> None:
    async def capture(number: int) -> int:
        with CaptureQueriesContext(connection) as captured:
            for _ in range(number):
                await Author.objects.filter(born__year=1900 + number).aexists()
        assert all(str(1900 + number) in query["sql"] for query in captured)
        return len(captured)

    async def main() -> None:
        counts = await asyncio.gather(*map(capture, range(6)), Author.objects.acount())
        assert counts[:-1] == list(range(6))

    loop_runner(main)


def test_queries_of_child_tasks_are_captured(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        with CaptureQueriesContext(connection) as captured:
            await asyncio.gather(*[Author.objects.acount() for _ in range(4)])
        assert len(captured) == 4

    loop_runner(main)


def test_connection_objects_made_during_the_capture_take_part(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        parking._parked.clear()
        with CaptureQueriesContext(connection) as captured:
            await asyncio.gather(*[Author.objects.acount() for _ in range(4)])
            await Author.objects.acount()
        assert len(captured) == 5

    loop_runner(main)


def test_captures_nest(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        with CaptureQueriesContext(connection) as outer:
            await Author.objects.acount()
            with CaptureQueriesContext(connection) as inner:
                await Author.objects.acount()
            await Author.objects.acount()
        assert (len(inner), len(outer)) == (1, 3)

    loop_runner(main)


def test_captures_in_sync_code_on_the_loop(loop_runner: LoopRunner) -> None:
    def sync_code() -> int:
        with CaptureQueriesContext(connection) as captured:
            Author.objects.count()
            Author.objects.count()
        Author.objects.count()
        return len(captured)

    async def main() -> None:
        assert await asyncio.gather(*[run_sync(sync_code) for _ in range(3)]) == [2, 2, 2]

    loop_runner(main)


def test_captures_in_a_transaction(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        with CaptureQueriesContext(connection) as around:
            async with django_loom.atomic():
                with CaptureQueriesContext(connection) as inside:
                    await Author.objects.acount()
        assert len(inside) == 1
        assert [query["sql"].split()[0] for query in around] == ["BEGIN", "SELECT", "COMMIT"]

    loop_runner(main)


def test_assert_num_queries_counts_in_async_code(loop_runner: LoopRunner) -> None:
    async def two_queries() -> None:
        with assert_num_queries(1):
            await Author.objects.acount()
            await Author.objects.acount()

    async def main() -> None:
        with assert_num_queries(3):
            await Author.objects.acount()
            await asyncio.gather(Author.objects.acount(), Author.objects.acount())
        with pytest.raises(AssertionError, match="2 queries executed, 1 expected"):
            await two_queries()

    loop_runner(main)


def test_assert_num_queries_of_concurrent_tasks(loop_runner: LoopRunner) -> None:
    async def counted(number: int) -> None:
        with assert_num_queries(number):
            for _ in range(number):
                await Author.objects.acount()

    async def main() -> None:
        await asyncio.gather(*map(counted, range(6)))

    loop_runner(main)


def test_with_debug_the_connection_logs_its_queries(loop_runner: LoopRunner) -> None:
    def sync_code() -> int:
        reset_queries()
        Author.objects.count()
        Author.objects.count()
        return len(connection.queries)

    async def task() -> int:
        reset_queries()
        await Author.objects.acount()
        return len(connection.queries)

    async def main() -> None:
        parking._parked.clear()
        await Author.objects.acount()
        await run_sync(Author.objects.count)
        async with django_loom.atomic():
            await Author.objects.acount()
        words = [query["sql"].split()[0] for query in connection.queries]
        assert words == ["SELECT", "SELECT", "BEGIN", "SELECT", "COMMIT"]
        assert await run_sync(sync_code) == 2

    async def tasks() -> None:
        assert await asyncio.gather(*[task() for _ in range(5)]) == [1] * 5

    with override_settings(DEBUG=True):
        # A log that code before has begun would be shared.
        Context().run(loop_runner, main)
        Context().run(loop_runner, tasks)


def test_outside_a_loop_everything_is_as_in_django() -> None:
    recorder = Recorder()
    with connection.execute_wrapper(recorder), CaptureQueriesContext(connection) as captured:
        Author.objects.count()
    Author.objects.count()
    assert len(captured) == len(recorder.queries) == 1


def test_what_a_thread_asks_for_holds_on_a_loop_that_it_runs_meanwhile(
    loop_runner: LoopRunner,
) -> None:
    """As in synchronous tests and middleware around async code."""
    recorder = Recorder()

    async def count() -> int:
        return await Author.objects.acount()

    with connection.execute_wrapper(recorder), CaptureQueriesContext(connection) as captured:
        loop_runner(Author.objects.acount)
        async_to_sync(count)()
        Author.objects.count()
    loop_runner(Author.objects.acount)
    Author.objects.count()
    assert len(captured) == len(recorder.queries) == 3


def test_captures_of_concurrent_tasks_inside_another_are_apart(loop_runner: LoopRunner) -> None:
    async def capture(number: int) -> int:
        with CaptureQueriesContext(connection) as captured:
            for _ in range(number):
                await Author.objects.acount()
        return len(captured)

    async def main() -> None:
        with CaptureQueriesContext(connection) as outer:
            await Author.objects.acount()
            assert await asyncio.gather(*map(capture, range(6))) == list(range(6))
            await Author.objects.acount()
        assert len(outer) == 17

    loop_runner(main)


def test_in_the_threads_transaction_each_query_is_seen_once(loop_runner: LoopRunner) -> None:
    """The loop uses the thread's connection then, which has the wrapper and the log itself."""
    outer, inner = Recorder(), Recorder()

    async def main() -> None:
        await Author.objects.acount()
        with connection.execute_wrapper(inner):
            await Author.objects.acount()

    with transaction.atomic(), CaptureQueriesContext(connection) as captured:
        with connection.execute_wrapper(outer):
            loop_runner(main)
        Author.objects.count()
    assert (len(outer.queries), len(inner.queries)) == (2, 1)
    assert len(captured) == 3


def test_threads_of_the_context_take_part(loop_runner: LoopRunner) -> None:
    recorder = Recorder()

    def in_thread() -> None:
        Author.objects.count()
        connection.close()

    async def main() -> None:
        with connection.execute_wrapper(recorder), CaptureQueriesContext(connection) as captured:
            await asyncio.to_thread(in_thread)
            await sync_to_async(in_thread)()
            await Author.objects.acount()
        assert len(captured) == len(recorder.queries) == 3

    loop_runner(main)


def test_a_copy_of_the_connection_keeps_to_itself(loop_runner: LoopRunner) -> None:
    def sync_code() -> None:
        copy = connection.copy()
        try:
            with CaptureQueriesContext(copy) as captured, CaptureQueriesContext(connection) as own:
                Author.objects.count()
                assert (len(captured), len(own)) == (0, 1)
                with copy.cursor() as cursor:
                    cursor.execute("SELECT 1")
            assert [query["sql"] for query in captured] == ["SELECT 1"]
            assert len(own) == 1
        finally:
            copy.close()

    sync_code()
    loop_runner(run_sync, sync_code)


def test_with_debug_sync_code_sees_the_queries_of_a_loop_in_its_transaction(
    loop_runner: LoopRunner,
) -> None:
    def in_transaction() -> None:
        with transaction.atomic():
            reset_queries()
            loop_runner(Author.objects.acount)
            Author.objects.count()
            assert len(connection.queries) == 2

    with override_settings(DEBUG=True):
        Context().run(in_transaction)


# Whatever code does to the list in a block, it finds a list as Django's; without the block's
# wrapper when that is over.
