"""Threads of which nobody tells us the end: a library's with our context, an executor's without."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import Context, copy_context
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import Error, OperationalError, connections, transaction

import django_loom
from django_loom import run_sync
from django_loom.bridge import unit_of_work
from django_loom.db import serving
from tests.db.faults import Admin
from tests.db.support import aask, ask, backend_pid, in_use, second_alias
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.services import Postgres
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables", "sqlite_tables")
TAG = "SELECT current_setting('loom.tag', true)"
Run = Callable[..., Awaitable[Any]]


@contextmanager
def one_thread(copies_context: bool) -> Iterator[Run]:
    """Run functions in a thread that goes on to the next one; it ends after the block."""
    with ThreadPoolExecutor(1) as executor:

        async def run(function: Callable[..., Any], *args: Any) -> Any:
            serving.begin(asyncio.get_running_loop())
            context = copy_context() if copies_context else Context()
            return await asyncio.get_running_loop().run_in_executor(
                executor, context.run, function, *args
            )

        yield run


@pytest.fixture(params=["postgresql", "sqlite"])
def alias(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database whose pool has one place, so that a lost one is noticed."""
    of = "default" if request.param == "postgresql" else "sqlite"
    with second_alias(of, OPTIONS={"pool": {"max_size": 1, "timeout": 10}}) as alias:
        yield alias


# psycopg warns of one that was dropped before it was opened in the server.
unused_server_side_cursor = pytest.mark.filterwarnings(
    "ignore:.* was deleted while still open:ResourceWarning"
)
each_thread = pytest.mark.parametrize(
    "copies_context", [True, False], ids=["with context", "without"]
)


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


# Threads without a unit, where a loop serves.


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


# What one thread begins, and another one ends, or whoever comes by.


numbers = itertools.count()


async def in_library_thread(function: Callable[..., Any]) -> Any:
    with one_thread(copies_context=True) as run:
        return await run(function)


def half_read(alias: str) -> Iterator[Any]:
    rows = iter(Author.objects.using(alias).order_by("name").iterator(chunk_size=1))
    next(rows)
    return rows


def stream(alias: str) -> Iterator[Any]:
    rows = iter(connections[alias].cursor().stream("SELECT generate_series(1, 3)"))
    next(rows)
    return rows


def block(alias: str) -> Iterator[Any]:
    def generator() -> Iterator[Any]:
        with transaction.atomic(alias):
            Author.objects.using(alias).create(name=f"of block {next(numbers)}")
            yield

    rows = generator()
    next(rows)
    return rows


def half_read_in_block(alias: str) -> Iterator[Any]:
    def generator() -> Iterator[Any]:
        with transaction.atomic(alias):
            Author.objects.using(alias).create(name=f"of block {next(numbers)}")
            yield from half_read(alias)

    rows = generator()
    next(rows)
    return rows


async def read_to_the_end(run: Run, kept: list[Any]) -> None:
    await run(lambda: list(kept.pop()))


async def close_in_thread(run: Run, kept: list[Any]) -> None:
    await run(lambda: kept.pop().close())


async def close_in_job(run: Run, kept: list[Any]) -> None:
    await asyncio.to_thread(lambda: kept.pop().close())


async def drop_on_loop(run: Run, kept: list[Any]) -> None:
    kept.clear()


def leave_to_the_collector(kept: list[Any]) -> None:
    cycle = [kept.pop()]
    cycle.append(cycle)


async def collect_on_loop(run: Run, kept: list[Any]) -> None:
    leave_to_the_collector(kept)
    gc.collect()


async def collect_in_thread(run: Run, kept: list[Any]) -> None:
    leave_to_the_collector(kept)
    await run(gc.collect)


ENDS = [
    read_to_the_end,
    close_in_thread,
    close_in_job,
    drop_on_loop,
    collect_on_loop,
    collect_in_thread,
]


@each_thread
@unused_server_side_cursor
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    ("of", "begin"),
    [
        ("default", half_read),
        ("default", stream),
        ("default", block),
        ("default", half_read_in_block),
        ("sqlite", block),
    ],
)
def test_what_ends_in_another_thread_keeps_no_connection(
    loop_runner: LoopRunner,
    of: str,
    copies_context: bool,
    begin: Callable[[str], Any],
    end: Callable[[Run, list[Any]], Awaitable[None]],
) -> None:
    """Its effect is that of the same in one thread."""

    async def main(alias: str) -> None:
        await Author.objects.using(alias).abulk_create([Author(name="Ann"), Author(name="Bea")])
        with one_thread(copies_context) as first, one_thread(copies_context) as other:
            for _ in range(3):  # more often than the pool has places
                with unit_of_work():
                    kept = [await first(begin, alias)]
                    assert in_use(alias) == 1
                    await end(other, kept)
                    await aeventually(lambda: in_use(alias) == 0)
            is_committed = "block" in begin.__name__ and end is read_to_the_end
            assert await first(Author.objects.using(alias).count) == 2 + 3 * is_committed
            assert in_use(alias) == 0

    with second_alias(of, OPTIONS={"pool": {"max_size": 1, "timeout": 10}}) as alias:
        loop_runner(main, alias)
        assert django_loom.pool(alias).statistics().timeouts == 0


@unused_server_side_cursor
@pytest.mark.parametrize("run", [asyncio.to_thread, in_library_thread, run_sync])
@pytest.mark.parametrize("is_committed", [True, False])
def test_a_half_read_cursor_keeps_no_connection_when_its_transaction_has_ended(
    loop_runner: LoopRunner, run: Run, is_committed: bool
) -> None:
    """The server has closed it, though its generator is in a cycle, and not collected."""
    kept: list[Any] = []

    def work() -> None:
        with suppress(ZeroDivisionError), transaction.atomic():
            kept.append(half_read("default"))
            assert is_committed or 1 / 0
        assert Author.objects.count() == 2
        with pytest.raises(Error):
            next(kept[-1])

    async def main() -> None:
        await Author.objects.abulk_create([Author(name="Ann"), Author(name="Bea")])
        for _ in range(3):
            with unit_of_work():
                await run(work)
                assert in_use() == 0

    loop_runner(main)


@each_thread
def test_a_cursor_goes_on_where_its_transaction_does_without_autocommit(
    loop_runner: LoopRunner, copies_context: bool
) -> None:
    def work() -> None:
        transaction.set_autocommit(False)
        with transaction.atomic():
            Author.objects.create(name="Ann")
            Author.objects.create(name="Bea")
            rows = half_read("default")
        assert [author.name for author in rows] == ["Bea"]
        transaction.rollback()
        transaction.set_autocommit(True)

    async def main() -> None:
        with one_thread(copies_context) as run:
            with unit_of_work():
                await run(work)
            await aeventually(lambda: in_use() == 0)

    loop_runner(main)


@each_thread
@pytest.mark.parametrize("is_taken_first", [True, False])
def test_a_thread_and_who_ends_its_block_never_use_one_connection(
    loop_runner: LoopRunner, copies_context: bool, is_taken_first: bool
) -> None:
    """It begins a statement in the moment in which the block has just ended elsewhere."""
    seen: list[Any] = []

    def between(wrapper: Any, lease: Any, pid: int) -> None:
        if is_taken_first:
            lease.claim.pop()
        seen.append(backend_pid() == pid)
        assert in_use() == is_taken_first  # else the thread has given it back
        if is_taken_first:
            lease.claim.append(None)

    async def main() -> None:
        with one_thread(copies_context) as first, one_thread(copies_context) as other:
            with unit_of_work():
                rows = await first(block, "default")
                wrapper, lease = await first(lambda: find_lease(rows))
                pid = lease.connection.info.backend_pid
                give_back = wrapper.give_back_if_unneeded

                def stopped(lease: Any) -> None:
                    if lease.claim and not seen:
                        asyncio.run_coroutine_threadsafe(
                            first(between, wrapper, lease, pid), loop
                        ).result()
                    give_back(lease)

                wrapper.give_back_if_unneeded = stopped
                loop = asyncio.get_running_loop()
                await other(rows.close)
                assert seen == [not is_taken_first]
                assert await first(backend_pid)
                del wrapper.give_back_if_unneeded
            assert in_use() == 0

    loop_runner(main)


def find_lease(rows: Any) -> Any:
    wrapper: Any = connections["default"]
    [lease] = wrapper.leases.values()
    assert lease.scopes
    return wrapper, lease


def test_a_block_ends_in_another_thread_when_the_first_one_has_ended_its_statement(
    loop_runner: LoopRunner, postgres: Postgres
) -> None:
    admin = Admin(postgres)

    async def main() -> None:
        with one_thread(copies_context=False) as first, one_thread(copies_context=False) as other:
            rows = await first(block, "default")
            asked = asyncio.create_task(first(ask, "SELECT 4711 FROM pg_sleep(0.3)"))
            await aeventually(admin.running)
            await other(list, rows)
            assert await asked == 4711
            assert in_use() == 0
            assert await Author.objects.acount() == 1

    loop_runner(main)


@each_thread
def test_callbacks_of_a_commit_run_where_the_block_ends(
    loop_runner: LoopRunner, alias: str, copies_context: bool
) -> None:
    counts: list[int] = []

    def generator() -> Iterator[None]:
        with transaction.atomic(alias):
            Author.objects.using(alias).create(name="Ann")
            transaction.on_commit(
                lambda: counts.append(Author.objects.using(alias).count()), using=alias
            )
            yield

    async def main() -> None:
        with one_thread(copies_context) as first, one_thread(copies_context) as other:
            rows = generator()
            with unit_of_work():
                await first(next, rows)
                await other(list, rows)
                assert in_use(alias) == 0
        assert counts == [1]

    loop_runner(main)


def test_a_coroutine_does_not_commit_the_block_of_a_thread(
    loop_runner: LoopRunner, alias: str
) -> None:
    async def main() -> None:
        with one_thread(copies_context=True) as first, unit_of_work():
            rows = await first(block, alias)
            with pytest.raises(SynchronousOnlyOperation, match=r"leave transaction\.atomic"):
                list(rows)
            await aeventually(lambda: in_use(alias) == 0)
            assert await Author.objects.using(alias).acount() == 0

    loop_runner(main)


@pytest.mark.parametrize("end", ENDS)
def test_a_block_that_has_pinned_its_connection_ends_in_another_thread(
    loop_runner: LoopRunner, end: Callable[[Run, list[Any]], Awaitable[None]]
) -> None:
    """The session is the unit's, or lost with the connection."""

    def begin() -> Iterator[Any]:
        ask("SELECT set_config('loom.tag', 'x', false)")
        return block("default")

    async def main() -> None:
        with one_thread(copies_context=True) as first, one_thread(copies_context=True) as other:
            with unit_of_work():
                kept = [await first(begin)]
                await end(other, kept)
                with suppress(OperationalError):
                    assert await first(ask, TAG) == await aask(TAG) == "x"
            await aeventually(lambda: in_use() == 0)
            assert await first(ask, TAG) in (None, "")
        assert django_loom.pool().statistics().pinned == 0

    loop_runner(main)


@each_thread
@pytest.mark.parametrize("end", ["another thread", "coroutine"])
def test_a_pin_ends_in_another_thread(
    loop_runner: LoopRunner, copies_context: bool, end: str
) -> None:
    def begin() -> Any:
        pin = django_loom.pin()
        pin.__enter__()
        return pin

    async def main() -> None:
        with one_thread(copies_context) as first, one_thread(copies_context) as other:
            with unit_of_work():
                pin = await first(begin)
                if end == "coroutine":
                    await pin.__aexit__(None, None, None)
                else:
                    await other(pin.__exit__, None, None, None)
            if not copies_context:  # the thread's own session, which it keeps
                await first(connections.close_all)
            await aeventually(lambda: in_use() == 0)

    loop_runner(main)


@pytest.mark.parametrize("begin", [half_read, block])
def test_a_plain_thread_keeps_its_session_when_another_one_ends_what_it_has_begun(
    loop_runner: LoopRunner, begin: Callable[[str], Any]
) -> None:
    def change_and_begin() -> Iterator[Any]:
        ask("SELECT set_config('loom.tag', 'x', false)")
        return begin("default")

    async def main() -> None:
        await Author.objects.acreate(name="Ann")
        with one_thread(copies_context=False) as first, one_thread(copies_context=False) as other:
            rows = await first(change_and_begin)
            await other(list, rows)
            assert in_use() == 1
            assert await first(ask, TAG) == "x"
            await first(connections.close_all)
            assert in_use() == 0

    loop_runner(main)


@each_thread
def test_a_transaction_without_autocommit_is_whole_beside_a_cursor(
    loop_runner: LoopRunner, copies_context: bool
) -> None:
    def begin() -> Iterator[Any]:
        transaction.set_autocommit(False)
        Author.objects.create(name="Ann")
        return half_read("default")

    def end(rows: Any) -> None:
        Author.objects.create(name="Bea")
        rows.close()
        transaction.rollback()
        transaction.set_autocommit(True)

    async def main() -> None:
        with one_thread(copies_context) as run:
            with unit_of_work():
                await run(end, await run(begin))
            await aeventually(lambda: in_use() == 0)
        assert await Author.objects.acount() == 0

    loop_runner(main)
