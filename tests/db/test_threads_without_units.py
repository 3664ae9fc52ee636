"""Threads without a unit give back after each statement and block, where a loop serves."""

from __future__ import annotations

import asyncio
import gc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction

import django_loom
from django_loom import run_sync
from django_loom.bridge import unit_of_work
from django_loom.db import serving
from tests.db.library_threads import one_thread
from tests.db.support import TAG, aask, ask, backend_pid, in_use
from tests.loops import LoopRunner
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables", "sqlite_tables")


def test_a_plain_thread_gives_back_after_each_statement_and_block(
    loop_runner: LoopRunner, alias: str
) -> None:
    def work() -> None:
        Author.objects.using(alias).create(name="Ann")
        assert in_use(alias) == 0
        with transaction.atomic(alias):
            Author.objects.using(alias).create(name="Bea")
            assert in_use(alias) == 1
        assert in_use(alias) == 0
        assert [each.name for each in Author.objects.using(alias).iterator()] == ["Ann", "Bea"]
        with pytest.raises(ZeroDivisionError), transaction.atomic(alias):
            Author.objects.using(alias).create(name=f"{1 / 0}")

    async def main() -> None:
        with one_thread(copies_context=False) as run:
            await run(work)
            assert in_use(alias) == 0

    loop_runner(main)


def test_a_plain_thread_keeps_a_changed_session_until_it_closes_it(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        with one_thread(copies_context=False) as run:
            await run(ask, "SELECT set_config('loom.tag', 'x', false)")
            assert in_use() == 1
            assert await run(ask, TAG) == "x"
            assert await aask(TAG) in (None, "")
            await run(connections.close_all)
            assert in_use() == 0
            assert await run(ask, TAG) in (None, "")
            assert in_use() == 0

    loop_runner(main)


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_plain_thread_keeps_a_transaction_without_autocommit(
    loop_runner: LoopRunner, alias: str, is_committed: bool
) -> None:
    def begin() -> None:
        transaction.set_autocommit(False, using=alias)
        Author.objects.using(alias).create(name="Ann")

    def end() -> None:
        Author.objects.using(alias).create(name="Bea")
        (transaction.commit if is_committed else transaction.rollback)(using=alias)
        transaction.set_autocommit(True, using=alias)

    async def main() -> None:
        with one_thread(copies_context=False) as run:
            await run(begin)
            assert in_use(alias) == 1
            await run(end)
            assert in_use(alias) == 0
            assert await run(Author.objects.using(alias).count) == 2 * is_committed

    loop_runner(main)


def test_a_plain_thread_keeps_a_pin_for_its_block(loop_runner: LoopRunner) -> None:
    def work() -> None:
        with django_loom.pin():
            pid = backend_pid()
            with django_loom.pin():
                assert backend_pid() == pid
            assert in_use() == 1
            assert backend_pid() == pid
        assert in_use() == 0

    async def main() -> None:
        with one_thread(copies_context=False) as run:
            await run(work)

    loop_runner(main)


def test_a_connection_that_is_lost_in_a_plain_thread_is_not_kept(
    loop_runner: LoopRunner,
) -> None:
    def work() -> None:
        connection: Any = connections["default"]
        with connection.cursor() as cursor:
            connection.connection.close()
            with pytest.raises(OperationalError, match="closed"):
                cursor.execute("SELECT 1")
        assert in_use() == 0
        assert Author.objects.count() == 0

    async def main() -> None:
        with one_thread(copies_context=False) as run:
            await run(work)

    loop_runner(main)


def test_where_no_loop_serves_a_thread_keeps_its_connection(loop_runner: LoopRunner) -> None:
    async def serve() -> None:
        serving.begin(asyncio.get_running_loop())
        assert serving.is_on()

    loop_runner(serve)
    assert not serving.is_on()
    with ThreadPoolExecutor(1) as executor:
        pid = executor.submit(backend_pid).result()
        assert in_use() == 1
        assert executor.submit(backend_pid).result() == pid
    assert in_use() == 0


def test_a_function_of_async_code_without_a_unit_keeps_its_connection(
    loop_runner: LoopRunner,
) -> None:
    def work() -> None:
        assert backend_pid() == backend_pid()
        assert in_use() == 1

    async def main() -> None:
        serving.begin(asyncio.get_running_loop())
        await asyncio.to_thread(work)
        assert in_use() == 0

    loop_runner(main)


class Held:
    """Uses the database when it is freed, as a generator with an open block does."""

    def __init__(self, seen: list[Any]) -> None:
        self._seen = seen

    def __del__(self) -> None:
        self._seen.append(ask("SELECT 1"))


def test_a_destructor_in_a_plain_thread_keeps_nothing(loop_runner: LoopRunner) -> None:
    seen: list[Any] = []

    async def main() -> None:
        with one_thread(copies_context=False) as run:
            await run(lambda: Held(seen) and None)
            assert seen == [1]
            assert in_use() == 0

    loop_runner(main)


def test_what_a_function_in_a_thread_alone_keeps_ends_in_its_unit(
    loop_runner: LoopRunner,
) -> None:
    """The thread drops its work when it is done with it, and then belongs to nobody."""
    seen: list[Any] = []

    async def main() -> None:
        with unit_of_work():
            await asyncio.to_thread(lambda held: None, Held(seen))
            gc.collect()
            assert seen == [1]
        assert in_use() == 0
        await run_sync(ask, "SELECT 1")

    loop_runner(main)
