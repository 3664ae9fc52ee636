"""What one thread begins, and another one ends, or whoever comes by."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import Error, OperationalError, connections, transaction

import django_loom
from django_loom import run_sync
from django_loom.bridge import unit_of_work
from tests.db.faults import Admin
from tests.db.library_threads import Run, each_thread, one_thread, unused_server_side_cursor
from tests.db.support import TAG, aask, ask, backend_pid, in_use, second_alias
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.services import Postgres
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables", "sqlite_tables")

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
