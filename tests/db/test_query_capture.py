"""Execute wrappers and query logs hold for a context and its tasks, not for a connection."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import Context, copy_context
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, connections, reset_queries, transaction
from django.test import TransactionTestCase
from django.test.testcases import _AssertNumQueriesContext
from django.test.utils import CaptureQueriesContext, override_settings

import django_loom
from django_loom import await_, run_sync
from django_loom.bridge import current_call, unit_of_work
from django_loom.db import parking
from tests.db.support import let_others_run
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables")


class Recorder:
    def __init__(self) -> None:
        self.queries: list[str] = []

    def __call__(self, execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        self.queries.append(sql)
        return execute(sql, *args)


def assert_num_queries(number: int, using: str = "default") -> CaptureQueriesContext:
    """What `TransactionTestCase.assertNumQueries` returns."""
    return _AssertNumQueriesContext(TransactionTestCase(), number, connections[using])


def test_a_wrapper_sees_the_queries_of_its_block(loop_runner: LoopRunner) -> None:
    recorder = Recorder()

    async def main() -> None:
        await Author.objects.acount()
        with connection.execute_wrapper(recorder):
            await Author.objects.acreate(name="Ann")
            await run_sync(lambda: list(Author.objects.all()))
        await Author.objects.acount()
        assert [sql.split()[0] for sql in recorder.queries] == ["INSERT", "SELECT"]

    loop_runner(main)


def test_child_tasks_and_gather_inherit_the_wrapper(loop_runner: LoopRunner) -> None:
    recorder = Recorder()

    async def main() -> None:
        with connection.execute_wrapper(recorder):
            await asyncio.gather(*[Author.objects.acount() for _ in range(5)])
            await asyncio.create_task(Author.objects.acount())
        assert len(recorder.queries) == 6

    loop_runner(main)


def test_tasks_beside_it_do_not_see_the_wrapper(loop_runner: LoopRunner) -> None:
    recorders = [Recorder() for _ in range(3)]

    async def recorded(recorder: Recorder, name: str) -> None:
        with connection.execute_wrapper(recorder):
            for _ in range(3):
                await Author.objects.filter(name=name).aexists()
                await let_others_run(3)

    async def not_recorded() -> None:
        for _ in range(5):
            await Author.objects.filter(name="nobody's").aexists()

    async def main() -> None:
        tasks = [recorded(recorder, f"{n}'s") for n, recorder in enumerate(recorders)]
        await asyncio.gather(not_recorded(), *tasks, not_recorded())
        assert [len(recorder.queries) for recorder in recorders] == [3, 3, 3]

    loop_runner(main)


def wrapper_that_notes(order: list[str], name: str) -> Callable[..., Any]:
    def wrapper(execute: Callable[..., Any], *args: Any) -> Any:
        order.append(name)
        return execute(*args)

    return wrapper


def test_wrappers_nest_the_innermost_last(loop_runner: LoopRunner) -> None:
    order: list[str] = []

    named = partial(wrapper_that_notes, order)

    def sync_code() -> None:
        with connection.execute_wrapper(named("inner")):
            Author.objects.count()

    async def main() -> None:
        with connection.execute_wrapper(named("outer")):
            await run_sync(sync_code)
            assert order == ["outer", "inner"]
            await Author.objects.acount()
            assert order == ["outer", "inner", "outer"]

    loop_runner(main)


def test_a_wrapper_in_sync_code_on_the_loop_ends_with_its_block(loop_runner: LoopRunner) -> None:
    recorder = Recorder()

    def sync_code() -> None:
        with connection.execute_wrapper(recorder):
            Author.objects.count()
        Author.objects.count()

    async def main() -> None:
        await asyncio.gather(run_sync(sync_code), Author.objects.acount())
        assert len(recorder.queries) == 1

    loop_runner(main)


def test_a_wrapper_may_refuse_a_query(loop_runner: LoopRunner) -> None:
    class Refused(Exception):
        pass

    def refuse(*args: Any) -> None:
        raise Refused

    async def main() -> None:
        with connection.execute_wrapper(refuse), pytest.raises(Refused):
            await Author.objects.acount()
        assert await Author.objects.acount() == 0

    loop_runner(main)


def test_a_wrapper_is_for_one_alias(loop_runner: LoopRunner) -> None:
    recorder = Recorder()

    async def main() -> None:
        with connections["other"].execute_wrapper(recorder):
            await Author.objects.acount()
            assert recorder.queries == []
            await Author.objects.using("other").acount()
            assert len(recorder.queries) == 1

    loop_runner(main)


def test_wrappers_work_in_a_transaction(loop_runner: LoopRunner) -> None:
    recorder = Recorder()

    async def main() -> None:
        async with django_loom.atomic():
            with connection.execute_wrapper(recorder):
                await asyncio.gather(*[Author.objects.acount() for _ in range(3)])
            await Author.objects.acount()
        assert len(recorder.queries) == 3

    loop_runner(main)


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


# Threads and flows of one unit, which have one connection object.


async def in_thread(function: Callable[[], Any]) -> Any:
    return await sync_to_async(function, thread_sensitive=False)()


def wait_for(event: threading.Event) -> None:
    if current_call() is None:
        assert event.wait(30)
    else:
        await_(aeventually(event.is_set))


@contextmanager
def recorded() -> Iterator[list[str]]:
    recorder = Recorder()
    with connection.execute_wrapper(recorder):
        yield recorder.queries


@contextmanager
def captured() -> Iterator[CaptureQueriesContext]:
    with CaptureQueriesContext(connection) as queries:
        yield queries


@pytest.mark.parametrize("block", [recorded, captured])
@pytest.mark.parametrize("run", [asyncio.to_thread, in_thread, run_sync])
def test_blocks_of_flows_of_one_unit_are_apart(
    loop_runner: LoopRunner, run: Callable[..., Any], block: Callable[[], Any]
) -> None:
    async def main() -> None:
        entered = [threading.Event(), threading.Event()]
        left = [threading.Event(), threading.Event()]

        def job(number: int) -> int:
            """Two at once: the second enters its block in the first, and leaves it after that."""
            if number == 1:
                wait_for(entered[0])
            with block() as seen:
                entered[number].set()
                wait_for(entered[1 - number])
                Author.objects.count()
                if number == 1:
                    wait_for(left[0])
                    Author.objects.count()
            left[number].set()
            wait_for(left[1 - number])
            Author.objects.count()
            return len(seen)

        with unit_of_work():
            both = [run(partial(job, number)) for number in range(2)]
            assert await asyncio.gather(*both) == [1, 2]
            assert connection.execute_wrappers == []

    loop_runner(main)


def test_blocks_of_one_flow_may_overlap(loop_runner: LoopRunner) -> None:
    def sync_code() -> None:
        first, second = Recorder(), Recorder()
        with ExitStack() as outer, ExitStack() as inner:
            outer.enter_context(connection.execute_wrapper(first))
            inner.enter_context(connection.execute_wrapper(second))
            outer.close()
            Author.objects.count()
        Author.objects.count()
        assert (len(first.queries), len(second.queries)) == (0, 1)

    loop_runner(run_sync, sync_code)


def test_a_block_whose_generator_the_collector_ends_leaves_the_blocks_of_others(
    loop_runner: LoopRunner,
) -> None:
    def leave() -> None:
        def rows() -> Iterator[None]:
            with recorded(), recorded():
                yield

        left = rows()
        next(left)
        cycle: list[Any] = [left]
        cycle.append(cycle)

    def others() -> None:
        with recorded() as outer, recorded() as inner:
            gc.collect()
            Author.objects.count()
        assert (len(outer), len(inner)) == (1, 1)

    async def main() -> None:
        await asyncio.create_task(run_sync(leave))
        await asyncio.create_task(run_sync(others))

    loop_runner(main)


def test_what_is_added_by_hand_in_a_block_is_the_units_and_in_its_place(
    loop_runner: LoopRunner,
) -> None:
    order: list[str] = []

    named = partial(wrapper_that_notes, order)

    def asked() -> str:
        order.clear()
        Author.objects.count()
        return " ".join(order)

    def sync_code() -> None:
        by_hand, inner_by_hand, block = named("by hand"), named("inner"), named("block")
        connection.execute_wrappers.append(by_hand)
        with connection.execute_wrapper(block):
            assert block in connection.execute_wrappers
            connection.execute_wrappers.append(inner_by_hand)
            connection.execute_wrappers.insert(0, named("first"))
            assert asked() == "first around by hand block inner"
            assert await_(asyncio.to_thread(asked)) == "first around by hand block inner"
            connection.execute_wrappers.remove(inner_by_hand)
            assert asked() == "first around by hand block"
            connection.execute_wrappers.append(inner_by_hand)
        assert asked() == "first around by hand inner"
        assert connection.execute_wrappers.pop() is inner_by_hand
        assert asked() == "first around by hand"

    async def main() -> None:
        with connection.execute_wrapper(named("around")):
            await run_sync(sync_code)

    loop_runner(main)


def test_a_plain_thread_has_no_wrapper_of_another_threads_connection() -> None:
    def count() -> None:
        Author.objects.count()
        connection.close()

    with recorded() as queries, ThreadPoolExecutor(1) as threads:
        threads.submit(copy_context().run, count).result(30)
        assert len(connection.execute_wrappers) == 1
    assert queries == []


# Whatever code does to the list in a block, it finds a list as Django's; without the block's
# wrapper when that is over.

A, B, X, Y, OUTER, INNER = ["A", "B", "X", "Y", "outer", "inner"]
Named = Callable[[str], Any]


def assign(change: Callable[[list[Any], Named], list[Any]]) -> Callable[[Any, Named], None]:
    def act(holder: Any, named: Named) -> None:
        holder.execute_wrappers = change(holder.execute_wrappers, named)

    return act


def act_on_list(change: Callable[[list[Any], Named], Any]) -> Callable[[Any, Named], None]:
    return lambda holder, named: change(holder.execute_wrappers, named)


def add_in_place(holder: Any, named: Named) -> None:
    holder.execute_wrappers += [named(X), named(Y)]


def set_aside(holder: Any, named: Named) -> None:
    saved = holder.execute_wrappers
    holder.execute_wrappers = []
    holder.execute_wrappers = saved


def set_aside_and_change(holder: Any, named: Named) -> None:
    saved = holder.execute_wrappers
    holder.execute_wrappers = [named(Y)]
    saved.append(named(X))
    saved.reverse()
    assert holder.execute_wrappers == [named(Y)]
    holder.execute_wrappers = saved


def take_out_for_a_while(holder: Any, named: Named) -> None:
    taken = [holder.execute_wrappers.pop() for _ in range(3)]
    holder.execute_wrappers.extend(reversed(taken))


def use_a_kept_list(holder: Any, named: Named) -> None:
    kept = holder.execute_wrappers
    holder.execute_wrappers.append(named(X))
    kept.insert(2, named(Y))
    assert kept == holder.execute_wrappers


CHANGES: dict[str, Callable[[Any, Named], None]] = {
    "+=": add_in_place,
    "append": act_on_list(lambda wrappers, named: wrappers.append(named(X))),
    "clear": act_on_list(lambda wrappers, named: wrappers.clear()),
    "del all": act_on_list(lambda wrappers, named: wrappers.__delitem__(slice(None))),
    "del first": act_on_list(lambda wrappers, named: wrappers.__delitem__(0)),
    "del last": act_on_list(lambda wrappers, named: wrappers.__delitem__(-1)),
    "del some": act_on_list(lambda wrappers, named: wrappers.__delitem__(slice(None, None, 2))),
    "del others": act_on_list(lambda wrappers, named: wrappers.__delitem__(slice(1, None, 2))),
    "extend": act_on_list(lambda wrappers, named: wrappers.extend(map(named, [X, Y]))),
    "insert at the front": act_on_list(lambda wrappers, named: wrappers.insert(0, named(X))),
    "insert after one": act_on_list(lambda wrappers, named: wrappers.insert(1, named(X))),
    "insert after two": act_on_list(lambda wrappers, named: wrappers.insert(2, named(X))),
    "insert before the last": act_on_list(lambda wrappers, named: wrappers.insert(-1, named(X))),
    "pop": act_on_list(lambda wrappers, named: wrappers.pop()),
    "pop first": act_on_list(lambda wrappers, named: wrappers.pop(0)),
    "pop before the last": act_on_list(lambda wrappers, named: wrappers.pop(-2)),
    "remove outer": act_on_list(lambda wrappers, named: wrappers.remove(named(OUTER))),
    "remove inner": act_on_list(lambda wrappers, named: wrappers.remove(named(INNER))),
    "remove own": act_on_list(lambda wrappers, named: wrappers.remove(named(B))),
    "reverse": act_on_list(lambda wrappers, named: wrappers.reverse()),
    "sort": act_on_list(lambda wrappers, named: wrappers.sort(key=lambda each: each.__name__)),
    "set first": act_on_list(lambda wrappers, named: wrappers.__setitem__(0, named(X))),
    "set inner": act_on_list(lambda wrappers, named: wrappers.__setitem__(-2, named(X))),
    "set all": act_on_list(lambda wrappers, named: wrappers.__setitem__(slice(None), [named(X)])),
    "set around": act_on_list(
        lambda wrappers, named: wrappers.__setitem__(slice(None), [named(X), *wrappers, named(Y)])
    ),
    "set between": act_on_list(
        lambda wrappers, named: wrappers.__setitem__(slice(2, 2), [named(X), named(Y)])
    ),
    "assign with more": assign(lambda wrappers, named: [named(X), *wrappers]),
    "assign with more inside": assign(lambda wrappers, named: [*wrappers, named(X)]),
    "assign others": assign(lambda wrappers, named: [named(X)]),
    "assign reversed": assign(lambda wrappers, named: wrappers[::-1]),
    "assign none": assign(lambda wrappers, named: []),
    "set aside": set_aside,
    "set aside and change": set_aside_and_change,
    "take out for a while": take_out_for_a_while,
    "use a kept list": use_a_kept_list,
}


@pytest.mark.parametrize("run", [run_sync, asyncio.to_thread])
@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_the_list_in_a_block_is_as_djangos(
    loop_runner: LoopRunner, run: Callable[..., Any], change: Callable[[Any, Named], None]
) -> None:
    order: list[str] = []
    wrappers: dict[str, Any] = {}

    def named(name: str) -> Any:
        if name not in wrappers:
            wrappers[name] = wrapper_that_notes(order, name)
            wrappers[name].__name__ = name
        return wrappers[name]

    def names(found: list[Any]) -> list[str]:
        return [each.__name__ for each in found]

    def asked() -> list[str]:
        order.clear()
        Author.objects.count()
        assert names(connection.execute_wrappers) == order
        return list(order)

    def sync_code() -> None:
        # In Django the list has all of them, one after the other.
        stock = SimpleNamespace(execute_wrappers=[named(each) for each in (A, OUTER, B, INNER, Y)])
        connection.execute_wrappers.append(named(A))
        with connection.execute_wrapper(named(OUTER)):
            connection.execute_wrappers.append(named(B))
            with connection.execute_wrapper(named(INNER)):
                connection.execute_wrappers.append(named(Y))
                assert asked() == [A, OUTER, B, INNER, Y]
                change(stock, named)
                change(connection, named)
                left = names(stock.execute_wrappers)
                assert asked() == left
            left = [each for each in left if each != INNER]
            assert asked() == left
        own = [each for each in left if each != OUTER]
        assert asked() == own
        assert names(connection._execute_wrappers) == own

    async def main() -> None:
        with unit_of_work():
            await run(sync_code)

    loop_runner(main)


def test_a_list_that_is_kept_beyond_its_block_has_the_connections_own(
    loop_runner: LoopRunner,
) -> None:
    order: list[str] = []
    one, other, block = [wrapper_that_notes(order, name) for name in ("one", "other", "block")]

    def sync_code() -> None:
        with connection.execute_wrapper(block):
            kept = connection.execute_wrappers
            kept.append(one)
        connection.execute_wrappers = kept
        assert connection.execute_wrappers == [one]
        kept.append(other)
        assert connection.execute_wrappers == kept == [one, other]

    loop_runner(run_sync, sync_code)


def test_the_same_wrapper_by_hand_and_by_a_block(loop_runner: LoopRunner) -> None:
    order: list[str] = []
    one, twice = wrapper_that_notes(order, "one"), wrapper_that_notes(order, "twice")

    def sync_code() -> None:
        connection.execute_wrappers.append(twice)
        with connection.execute_wrapper(twice):
            connection.execute_wrappers.append(one)
            assert connection.execute_wrappers == [twice, twice, one]
            connection.execute_wrappers.remove(twice)
            assert connection.execute_wrappers == [twice, one]
        assert connection.execute_wrappers == [one]

    loop_runner(run_sync, sync_code)
