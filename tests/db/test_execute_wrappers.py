"""Execute wrappers hold for a context and its tasks, not for a connection."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from django.db import connection, connections

import django_loom
from django_loom import run_sync
from tests.db.query_capture import Recorder, wrapper_that_notes
from tests.db.support import let_others_run
from tests.loops import LoopRunner
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables")


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
