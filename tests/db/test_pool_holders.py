"""The error of a caller that waits in vain names who holds the connections, and their lines."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connections, transaction
from django.db.models import Func, TextField, Value
from greenlet import greenlet

import django_loom
from django_loom.bridge import Unit, suspend
from django_loom.db.holders import call_site
from django_loom.exceptions import PoolTimeout
from tests.db.faults import ALIAS, Admin, faulty_database
from tests.db.pool_tools import PlainPool
from tests.db.support import aask, ask
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.services import Postgres
from tests.testapp.models import Marker

HERE = str(Path(__file__))


@pytest.fixture
def full_pool(postgres: Postgres, db_tables: None) -> Iterator[None]:
    """A pool of one connection, for which nobody waits long."""
    name = settings.DATABASES["default"]["NAME"]
    with faulty_database(postgres, NAME=name, pool={"max_size": 1, "timeout": 0.02}):
        yield


def line_here() -> int:
    """The number of the line that calls this."""
    return sys._getframe(1).f_lineno


async def complaint() -> str:
    """The error of a caller that finds the pool's connection in use."""
    assert django_loom.pool(ALIAS).statistics().used == 1
    with pytest.raises(PoolTimeout) as caught:
        await aask("SELECT 1", using=ALIAS)
    return str(caught.value)


def assert_names(message: str, who: str, line: int, function: str) -> None:
    assert "The pool has 1 of 1 connections in use, 0 idle" in message
    holder = rf"held for \d+\.\d s by {re.escape(who)}, taken at {re.escape(HERE)}:{line} in "
    assert re.search(holder + rf"\S*{function}$", message, re.MULTILINE), message


def test_an_async_transaction(loop_runner: LoopRunner, full_pool: None) -> None:
    lines = []

    async def view() -> None:
        lines.append(line_here() + 1)
        async with django_loom.atomic(ALIAS):
            entered.set()
            await done.wait()

    async def main() -> None:
        task = asyncio.create_task(view(), name="the view")
        await entered.wait()
        message = await complaint()
        done.set()
        await task
        assert_names(message, "the view", lines[0], "view")

    entered, done = asyncio.Event(), asyncio.Event()
    loop_runner(main)


def test_a_sync_transaction_on_a_loop(loop_runner: LoopRunner, full_pool: None) -> None:
    def view() -> None:
        with transaction.atomic(ALIAS):
            entered.set()
            django_loom.await_(done.wait())

    async def main() -> None:
        task = asyncio.create_task(django_loom.run_sync(view), name="the view")
        await entered.wait()
        message = await complaint()
        done.set()
        await task
        assert "the view, taken at " + HERE in message
        assert " in test_a_sync_transaction_on_a_loop.<locals>.view" in message

    entered, done = asyncio.Event(), asyncio.Event()
    loop_runner(main)


def test_a_query_of_a_coroutine(
    loop_runner: LoopRunner, full_pool: None, postgres: Postgres
) -> None:
    lines = []
    sleep = Func(Value(600), function="pg_sleep", output_field=TextField())

    async def view() -> None:
        markers = Marker.objects.using(ALIAS)
        await markers.acreate(owner=1)
        lines.append(line_here() + 1)
        await markers.values_list(sleep).aget()

    async def main() -> None:
        task = asyncio.create_task(view(), name="the view")
        await aeventually(Admin(postgres).running)
        message = await complaint()
        task.cancel()
        await asyncio.wait([task])
        assert_names(message, "the view", lines[0], "view")

    loop_runner(main)


def test_a_server_side_cursor(loop_runner: LoopRunner, full_pool: None) -> None:
    lines = []

    async def view() -> None:
        await Marker.objects.using(ALIAS).abulk_create([Marker(owner=1) for _ in range(3)])
        rows = Marker.objects.using(ALIAS).aiterator(chunk_size=1)
        lines.append(line_here() + 1)
        async for _ in rows:
            entered.set()
            await done.wait()

    async def main() -> None:
        task = asyncio.create_task(view(), name="the view")
        await entered.wait()
        message = await complaint()
        done.set()
        await task
        assert_names(message, "the view", lines[0], "view")

    entered, done = asyncio.Event(), asyncio.Event()
    loop_runner(main)


@pytest.mark.parametrize("in_block", [True, False], ids=["transaction", "query"])
def test_a_thread(full_pool: None, in_block: bool) -> None:
    lines = []
    entered, done = threading.Event(), threading.Event()

    def in_transaction() -> None:
        lines.append(line_here() + 1)
        with transaction.atomic(ALIAS):
            wait()

    def query() -> None:
        lines.append(line_here() + 1)
        connections[ALIAS].cursor().execute("SELECT 1")
        wait()

    def wait() -> None:
        entered.set()
        done.wait()

    function: Callable[[], Any] = in_transaction if in_block else query

    def in_thread() -> None:
        try:
            function()
        finally:
            connections[ALIAS].close()

    thread = threading.Thread(target=in_thread, name="the worker")
    thread.start()
    entered.wait()
    try:
        message = asyncio.run(complaint())
        with pytest.raises(PoolTimeout, match="the worker, taken at"):
            ask("SELECT 1", using=ALIAS)
    finally:
        done.set()
        thread.join()
    assert_names(message, "the worker", lines[0], function.__name__)


def test_a_reset_tells_whose_session_it_is() -> None:
    class Request(Unit):
        def describe(self) -> str:
            return "GET / (shop.views.home)"

    pool = PlainPool()
    slot = pool.take()
    slot.reset_begins(Request())
    said = "by the reset of its session after GET / (shop.views.home), taken at "
    assert said in slot.describe_holder()
    pool.release(slot)
    assert "reset" not in pool.take().describe_holder()


# In greenlets that code starts inside a call.


def noted() -> tuple[int, Any]:
    """Return a line, and the site that code in a greenlet of a library finds for it."""
    code = compile("sites.append(call_site())", "<a library>", "exec")
    names: dict[str, Any] = {"sites": [], "call_site": call_site}
    line = line_here() + 1
    greenlet(lambda: greenlet(exec).switch(code, names)).switch()
    return line, names["sites"].pop()


def test_the_line_that_has_started_a_greenlet_of_a_library_is_noted(
    loop_runner: LoopRunner,
) -> None:
    for line, site in (noted(), loop_runner(django_loom.run_sync, noted)):
        assert site[:2] == (HERE, line)


LIBRARY = compile(
    "slot = pool.take()\nentered.set()\nsuspend(done.wait())\npool.release(slot)\n",
    "<a library>",
    "exec",
)


def test_a_greenlet_of_a_library(loop_runner: LoopRunner) -> None:
    """The line is that of the user's code that has started the greenlet."""
    pool = PlainPool(max_size=1, timeout=0)
    lines: list[int] = []

    async def main() -> None:
        entered, done = asyncio.Event(), asyncio.Event()
        names = {
            "pool": pool,
            "entered": entered,
            "done": done,
            "suspend": suspend,
        }

        def view() -> None:
            lines.append(line_here() + 1)
            greenlet(lambda: greenlet(exec).switch(LIBRARY, names)).switch()

        task = asyncio.create_task(django_loom.run_sync(view), name="the view")
        await entered.wait()
        with pytest.raises(PoolTimeout) as caught:
            await django_loom.run_sync(pool.take)
        done.set()
        await task
        assert_names(str(caught.value), "the view", lines[0], "<lambda>")

    loop_runner(main)
    pool.assert_whole()
