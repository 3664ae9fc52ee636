"""Blocks of threads and flows of one unit, which have one connection object."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from functools import partial
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_loom import await_, run_sync
from django_loom.bridge import current_call, unit_of_work
from tests.db.query_capture import Recorder, wrapper_that_notes
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables")


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
