"""Calls on one loop run at the same time, each on a connection of its own."""

from __future__ import annotations

import asyncio

import pytest
from django.db.models import Sum

import django_loom
from django_loom import await_, run_sync
from tests.db.support import abackend_pid, ask, backend_pid, in_use, meet
from tests.loops import LoopRunner
from tests.testapp.models import Author, Book, Marker

pytestmark = pytest.mark.usefixtures("db_tables")
PARTIES = 5


@pytest.mark.usefixtures("meeting_point")
def test_gathered_orm_calls_run_at_the_same_time_each_on_its_own_connection(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        await Author.objects.acreate(name="Ann")
        met = Author.objects.annotate(pid=meet(PARTIES))
        authors = await asyncio.gather(*[met.aget() for _ in range(PARTIES)])
        assert len({author.pid for author in authors}) == PARTIES

    loop_runner(main)


@pytest.mark.usefixtures("meeting_point")
def test_different_kinds_of_calls_run_at_the_same_time(loop_runner: LoopRunner) -> None:
    async def all_of(queryset) -> list[int]:
        return [author.pid async for author in queryset]

    async def main() -> None:
        await Author.objects.acreate(name="Ann")
        met = Author.objects.annotate(pid=meet(6))
        first, total, exists, pids, values, pid = await asyncio.gather(
            met.afirst(),
            met.aaggregate(Sum("pid")),
            Author.objects.filter(pk__lt=meet(6)).aexists(),
            all_of(met),
            met.values_list("pid", flat=True).aget(),
            run_sync(ask, "SELECT meet(6)"),
        )
        assert exists
        assert len({first.pid, total["pid__sum"], *pids, values, pid}) == 5

    loop_runner(main)


@pytest.mark.usefixtures("meeting_point")
def test_tasks_of_a_task_group_run_at_the_same_time(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run_sync(ask, "SELECT meet(3)")) for _ in range(3)]
        assert len({task.result() for task in tasks}) == 3

    loop_runner(main)


def test_all_statements_of_one_call_use_one_connection(loop_runner: LoopRunner) -> None:
    def statements() -> list[int]:
        return [backend_pid() for _ in range(5)]

    async def main() -> None:
        uses = django_loom.pool("default").statistics().uses
        results = await asyncio.gather(*[run_sync(statements) for _ in range(4)])
        assert [len(set(pids)) for pids in results] == [1] * 4
        assert len({pids[0] for pids in results}) == 4
        assert django_loom.pool("default").statistics().uses - uses == 4

    loop_runner(main)


def test_more_callers_than_connections_take_turns(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        pool = django_loom.pool("default")
        limit = pool.statistics().max
        pids = await asyncio.gather(*[abackend_pid() for _ in range(5 * limit)])
        assert len(set(pids)) <= limit
        assert pool.statistics().size <= limit

    loop_runner(main)


def test_each_caller_gets_the_rows_that_it_asked_for(loop_runner: LoopRunner) -> None:
    async def own_rows(owner: int) -> None:
        await Marker.objects.acreate(owner=owner)
        for step in range(3):
            await Marker.objects.filter(owner=owner).aupdate(step=step)
            rows = [row async for row in Marker.objects.filter(owner=owner)]
            assert [(row.owner, row.step) for row in rows] == [(owner, step)]

    async def main() -> None:
        await asyncio.gather(*[own_rows(owner) for owner in range(50)])
        assert await Marker.objects.acount() == 50

    loop_runner(main)


def test_lazy_relations_load_in_sync_code_on_the_loop(loop_runner: LoopRunner) -> None:
    def author_of(title: str) -> str:
        return Book.objects.get(title=title).author.name

    async def main() -> None:
        author = await Author.objects.acreate(name="Ann")
        await Book.objects.acreate(title="Looms", author=author)
        assert await run_sync(author_of, "Looms") == "Ann"

    loop_runner(main)


def test_async_code_holds_no_connection_between_its_calls(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        await Author.objects.acreate(name="Ann")
        assert in_use() == 0
        async for _ in Author.objects.all():
            assert in_use() == 0
        await Author.objects.aget(name="Ann")
        assert in_use() == 0

    loop_runner(main)


def test_sync_code_holds_no_connection_while_it_awaits_something_else(
    loop_runner: LoopRunner,
) -> None:
    async def elsewhere() -> int:
        await asyncio.sleep(0)
        return in_use()

    def sync_code() -> list[int]:
        used = []
        for _ in range(2):
            Author.objects.count()
            used.append(in_use())
            used.append(await_(elsewhere()))
        return used

    async def main() -> None:
        assert await run_sync(sync_code) == [1, 0, 1, 0]

    loop_runner(main)


def test_another_task_can_use_the_connection_meanwhile(loop_runner: LoopRunner) -> None:
    """More callers than connections, and none goes on until each has made its query."""
    arrived: list[int] = []

    async def main() -> None:
        callers = django_loom.pool("default").statistics().max + 1
        all_are_here = asyncio.Event()

        async def arrive() -> None:
            arrived.append(1)
            if len(arrived) == callers:
                all_are_here.set()
            await all_are_here.wait()

        def sync_code() -> tuple[int, int]:
            first = backend_pid()
            await_(arrive())
            return first, backend_pid()

        await asyncio.gather(*[run_sync(sync_code) for _ in range(callers)])

    loop_runner(main)


def test_a_call_that_uses_no_database_takes_no_connection(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        uses = django_loom.pool("default").statistics().uses
        await run_sync(lambda: str(Author.objects.filter(name="x").query))
        assert django_loom.pool("default").statistics().uses == uses

    loop_runner(main)


def test_a_call_nested_in_another_has_its_own_connection(loop_runner: LoopRunner) -> None:
    """The outer one has given its own back: at most one is held at a time."""

    def outer() -> list[int]:
        Author.objects.count()
        return await_(inner())

    async def inner() -> list[int]:
        await run_sync(Author.objects.count)
        return [in_use(), await run_sync(lambda: (backend_pid(), in_use())[1])]

    async def main() -> None:
        assert await run_sync(outer) == [0, 1]

    loop_runner(main)
