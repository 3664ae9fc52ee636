"""Threads of which nobody tells us the end: a library's with our context, an executor's without."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, transaction

import django_loom
from django_loom.bridge import unit_of_work
from tests.db.library_threads import each_thread, one_thread, unused_server_side_cursor
from tests.db.support import in_use, second_alias
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.testapp.models import Author

# Its calls are all in the library's thread, and none of them waits.
one_loop = pytest.mark.one_loop

pytestmark = pytest.mark.usefixtures("db_tables", "sqlite_tables")


@each_thread
def test_callbacks_of_a_commit_run(
    loop_runner: LoopRunner, alias: str, copies_context: bool
) -> None:
    calls: list[Any] = []

    def callback() -> None:
        calls.append(Author.objects.using(alias).count())
        transaction.on_commit(lambda: calls.append("by a callback"), using=alias)
        with transaction.atomic(alias):
            Author.objects.using(alias).create(name="Bea")
            transaction.on_commit(lambda: calls.append("of its block"), using=alias)

    def work() -> None:
        with transaction.atomic(alias):
            Author.objects.using(alias).create(name="Ann")
            transaction.on_commit(callback, using=alias)
            transaction.on_commit(lambda: 1 / 0, using=alias, robust=True)
            transaction.on_commit(lambda: calls.append("last"), using=alias)
        calls.append("after the block")

    async def main() -> None:
        with one_thread(copies_context) as run, unit_of_work():
            await run(work)
            assert in_use(alias) == 0

    loop_runner(main)
    assert calls == [1, "by a callback", "of its block", "last", "after the block"]


@each_thread
def test_callbacks_wait_for_the_commit_without_autocommit(
    loop_runner: LoopRunner, alias: str, copies_context: bool
) -> None:
    calls: list[str] = []

    def work() -> None:
        connection: Any = connections[alias]
        connection.set_autocommit(False)
        with transaction.atomic(alias):
            Author.objects.using(alias).create(name="Ann")
            transaction.on_commit(lambda: calls.append("committed"), using=alias)
        assert calls == []
        connection.commit()
        connection.set_autocommit(True)
        assert calls == ["committed"]

    async def main() -> None:
        with one_thread(copies_context) as run:
            with unit_of_work():
                await run(work)
            await aeventually(lambda: in_use(alias) == 0)
        assert await Author.objects.using(alias).acount() == 1

    loop_runner(main)


def close_cursor(alias: str) -> None:
    connections[alias].cursor().close()


def drop_cursor(alias: str) -> None:
    connections[alias].cursor()


def return_cursor(alias: str) -> Any:
    """The last reference to it goes in another thread."""
    return connections[alias].cursor()


def close_chunked_cursor(alias: str) -> None:
    connections[alias].chunked_cursor().close()


def cursor_and_driver(alias: str) -> None:
    connection: Any = connections[alias]
    with connection.cursor() as cursor:
        assert connection.connection is not None
        cursor.arraysize  # noqa: B018 - the driver's


def beside_a_statement(alias: str) -> None:
    cursor = connections[alias].cursor()
    assert Author.objects.using(alias).count() == 0
    other = connections[alias].cursor()
    cursor.execute("SELECT 1")
    assert cursor.fetchone() == (1,)
    other.execute("SELECT 2")
    assert other.fetchone() == (2,)


def pin(alias: str) -> None:
    with django_loom.pin(alias), django_loom.pin(alias):
        pass


WITHOUT_STATEMENT: dict[str, Callable[[str], Any]] = {
    "on_commit": lambda alias: transaction.on_commit(lambda: None, using=alias),
    "get_autocommit": transaction.get_autocommit,
    "set_autocommit": lambda alias: transaction.set_autocommit(True, using=alias),
    "savepoint": lambda alias: connections[alias].savepoint(),
    "ensure_connection": lambda alias: connections[alias].ensure_connection(),
    "connect": lambda alias: connections[alias].connect(),
    "closed cursor": close_cursor,
    "dropped cursor": drop_cursor,
    "cursor dropped elsewhere": return_cursor,
    "chunked cursor": close_chunked_cursor,
    "driver": cursor_and_driver,
    "two cursors": beside_a_statement,
    "pin": pin,
}


@one_loop
@each_thread
@unused_server_side_cursor
@pytest.mark.parametrize("use", WITHOUT_STATEMENT.values(), ids=WITHOUT_STATEMENT.keys())
def test_what_runs_no_statement_keeps_no_connection(
    loop_runner: LoopRunner, alias: str, copies_context: bool, use: Callable[[str], Any]
) -> None:
    async def main() -> None:
        with one_thread(copies_context) as run:
            for _ in range(3):  # more often than the pool has places
                with unit_of_work():
                    await run(use, alias)
                await aeventually(lambda: in_use(alias) == 0)
            assert await Author.objects.using(alias).acount() == 0

    loop_runner(main)
    assert django_loom.pool(alias).statistics().timeouts == 0


@each_thread
def test_a_health_check_finds_the_database_usable(
    loop_runner: LoopRunner, alias: str, copies_context: bool
) -> None:
    def check() -> bool:
        connection: Any = connections[alias]
        connection.ensure_connection()
        return bool(connection.is_usable())

    async def main() -> None:
        with one_thread(copies_context) as run:
            with unit_of_work():
                assert await run(check)
                assert copies_context or in_use(alias) == 0
            await aeventually(lambda: in_use(alias) == 0)

    loop_runner(main)


def test_a_health_check_finds_a_database_unusable_that_cannot_be_reached(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        with one_thread(copies_context=False) as run:
            assert await run(lambda: connections[alias].is_usable()) is False
            assert in_use(alias) == 0

    with second_alias(PORT="1", OPTIONS={"pool": {"max_size": 1}}) as alias:
        loop_runner(main)


@each_thread
def test_a_cursor_goes_on_when_somebody_else_has_its_connection(
    loop_runner: LoopRunner, alias: str, copies_context: bool
) -> None:
    """It is made, its unit ends, and then it runs its first statement."""
    is_made, has_ended = threading.Event(), threading.Event()

    def work() -> Any:
        with connections[alias].cursor() as cursor:
            is_made.set()
            assert has_ended.wait(30)
            cursor.execute("SELECT 4711")
            return cursor.fetchone()

    async def main() -> None:
        with one_thread(copies_context) as run:
            with unit_of_work():
                task = asyncio.create_task(run(work))
                await aeventually(is_made.is_set)
                assert in_use(alias) == 1
            if copies_context:
                assert await Author.objects.using(alias).acount() == 0
            has_ended.set()
            assert await task == (4711,)
            assert in_use(alias) == 0

    loop_runner(main)


@each_thread
def test_a_connection_object_that_lost_its_unused_connection_takes_another(
    loop_runner: LoopRunner, alias: str, copies_context: bool
) -> None:
    has_ended = threading.Event()

    def work(kept: list[Any]) -> int:
        kept.append(connections[alias].cursor())
        assert has_ended.wait(30)
        with transaction.atomic(alias):
            Author.objects.using(alias).create(name="Ann")
        return Author.objects.using(alias).count()

    async def main() -> None:
        kept: list[Any] = []
        with one_thread(copies_context) as run:
            with unit_of_work():
                task = asyncio.create_task(run(work, kept))
                await aeventually(lambda: kept)
            has_ended.set()
            assert await task == 1
            assert in_use(alias) == 0

    loop_runner(main)


@each_thread
def test_two_threads_never_use_one_connection(
    loop_runner: LoopRunner, copies_context: bool
) -> None:
    """The other one has begun to give it back when the first statement comes."""

    def work() -> None:
        wrapper: Any = connections["default"]
        with wrapper.cursor() as cursor:
            pid = wrapper.connection.info.backend_pid
            lease = wrapper.present_lease()
            lease.claim.pop()
            cursor.execute("SELECT pg_backend_pid()")
            assert cursor.fetchone() != (pid,)
            assert in_use() == 1
            lease.flow = None
            wrapper.give_back(lease)
        assert in_use() == 0

    async def main() -> None:
        with one_thread(copies_context) as run, unit_of_work():
            await run(work)

    loop_runner(main)


@each_thread
@unused_server_side_cursor
def test_a_server_side_cursor_keeps_its_connection_until_it_is_closed(
    loop_runner: LoopRunner, copies_context: bool
) -> None:
    kept: list[Any] = []

    def begin() -> None:
        Author.objects.bulk_create(Author(name=f"{number}") for number in range(3))
        kept.append(connections["default"].chunked_cursor())
        Author.objects.count()  # what the cursor was made on went back with this
        kept[0].execute("SELECT id FROM testapp_author ORDER BY id")
        kept.append(len(kept[0].fetchmany(1)))

    def end() -> None:
        kept.append(len(kept[0].fetchall()))
        kept[0].close()

    async def main() -> None:
        with one_thread(copies_context) as run, unit_of_work():
            await run(begin)
            assert in_use() == 1
            await run(end)
            assert in_use() == 0
        assert kept[1:] == [1, 2]

    loop_runner(main)


@each_thread
def test_the_drivers_own_cursor_has_the_connection_while_it_copies_and_streams(
    loop_runner: LoopRunner, copies_context: bool
) -> None:
    def work() -> Any:
        with connections["default"].cursor() as cursor:
            with cursor.copy("COPY testapp_author (name) FROM STDIN") as copy:
                assert in_use() == 1
                copy.write_row(["Ann"])
            assert in_use() == 0
            cursor.execute("SELECT 1")
            assert in_use() == 0
            with cursor.copy("COPY testapp_author (name) FROM STDIN") as copy:
                assert in_use() == 1
                copy.write_row(["Bea"])
            return list(cursor.stream("SELECT name FROM testapp_author ORDER BY name"))

    async def main() -> None:
        with one_thread(copies_context) as run, unit_of_work():
            assert await run(work) == [("Ann",), ("Bea",)]
            assert in_use() == 0

    loop_runner(main)
