"""Functions in threads of a unit: what they change, and what becomes of it at the unit's end."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import (
    DataError,
    OperationalError,
    close_old_connections,
    connections,
    transaction,
)
from django.db.models.signals import pre_save

import django_loom
from django_loom import run_sync
from django_loom.bridge import unit_of_work
from tests.db.faults import Admin
from tests.db.support import TAG, aask, ask, execute, in_use, let_others_run
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.services import Postgres
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables")
Run = Callable[..., Awaitable[Any]]


async def in_library_thread(function: Callable[..., Any], *args: Any) -> Any:
    """As libraries do that have threads of their own, of which nobody tells us the end."""
    run = copy_context().run
    return await asyncio.get_running_loop().run_in_executor(None, run, function, *args)


async def in_sync_to_async(function: Callable[..., Any], *args: Any) -> Any:
    return await sync_to_async(function, thread_sensitive=False)(*args)


JOBS: list[Run] = [asyncio.to_thread, in_sync_to_async]
THREADS: list[Run] = [*JOBS, in_library_thread]


async def nothing_is_left() -> None:
    await aeventually(lambda: in_use() == 0)
    assert django_loom.pool().statistics().pinned == 0
    assert await aask(TAG) in (None, "")


def set_in_failed_block() -> None:
    try:
        with transaction.atomic():
            Author.objects.create(name="undone")
            execute("SET loom.tag = 'x'")
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass


def set_tag() -> None:
    execute("SET loom.tag = 'x'")


def set_in_block() -> None:
    with transaction.atomic():
        set_tag()


CHANGES = [set_tag, set_in_block, set_in_failed_block]


@pytest.mark.parametrize("run", THREADS)
@pytest.mark.parametrize(
    "change", [set_in_block, set_in_failed_block, lambda: execute("SET loom.tag = 'x'")]
)
def test_a_session_that_a_thread_changes_is_the_units_and_then_clean(
    loop_runner: LoopRunner, run: Run, change: Callable[[], None]
) -> None:
    async def main() -> None:
        with unit_of_work():
            await run(change)
            if change is not set_in_failed_block:
                assert await run(ask, TAG) == "x"
                assert await aask(TAG) == "x"
        await nothing_is_left()

    loop_runner(main)


@pytest.mark.parametrize("run", THREADS)
@pytest.mark.parametrize(
    "change", [set_in_block, set_in_failed_block, lambda: execute("SET loom.tag = 'x'")]
)
def test_a_session_that_a_thread_changes_after_its_unit_is_made_clean(
    loop_runner: LoopRunner, run: Run, change: Callable[[], None]
) -> None:
    has_ended = threading.Event()

    def in_thread() -> None:
        has_ended.wait(30)
        change()

    async def main() -> None:
        with unit_of_work():
            task = asyncio.create_task(run(in_thread))
            await asyncio.sleep(0)
        has_ended.set()
        await task
        await nothing_is_left()

    loop_runner(main)


@pytest.mark.parametrize("is_committed", [True, False])
@pytest.mark.parametrize("run", JOBS)
def test_a_transaction_without_autocommit_is_whole_in_a_thread_that_outlives_its_unit(
    loop_runner: LoopRunner, run: Run, is_committed: bool
) -> None:
    has_written, has_ended = threading.Event(), threading.Event()

    def in_thread() -> None:
        transaction.set_autocommit(False)
        Author.objects.create(name="before")
        has_written.set()
        has_ended.wait(30)
        Author.objects.create(name="after")
        if is_committed:
            transaction.commit()
            transaction.set_autocommit(True)

    async def main() -> None:
        with unit_of_work():
            task = asyncio.create_task(run(in_thread))
            await aeventually(has_written.is_set)
        assert await Author.objects.acount() == 0
        has_ended.set()
        await task
        await nothing_is_left()
        assert await Author.objects.acount() == 2 * is_committed

    loop_runner(main)


def test_a_thread_is_in_a_statement_when_its_transaction_is_given_up(
    loop_runner: LoopRunner, postgres: Postgres
) -> None:
    """Its connection is closed below it, which must not free what the driver reads."""
    admin = Admin(postgres)

    def in_thread() -> None:
        ask("SELECT pg_sleep(30)")

    async def block(threads: list[asyncio.Task[Any]]) -> None:
        async with django_loom.atomic():
            await Author.objects.acreate(name="undone")
            threads.append(asyncio.create_task(asyncio.to_thread(in_thread)))
            await asyncio.Event().wait()

    async def main() -> None:
        threads: list[asyncio.Task[Any]] = []
        task = asyncio.create_task(block(threads))
        await aeventually(admin.running)
        task.cancel()
        await let_others_run()  # it waits for the thread's turn to end
        task.cancel()
        await asyncio.wait([task, *threads])
        assert task.cancelled()
        assert isinstance(threads[0].exception(), OperationalError)
        await nothing_is_left()
        assert await Author.objects.acount() == 0

    loop_runner(main)


def test_a_lost_session_stays_lost_for_the_function_that_outlives_its_request(
    loop_runner: LoopRunner,
) -> None:
    """Django closes old connections at the request's end, which once began a new session."""

    def lose() -> None:
        wrapper: Any = connections["default"]
        wrapper.pinned.session_is_lost = True
        wrapper.close_in_any_state(wrapper.pinned)

    outliving = Outliving(TAG)

    async def main() -> None:
        with unit_of_work():
            await run_sync(set_tag)
            await run_sync(lose)
            task = asyncio.create_task(asyncio.to_thread(outliving))
            await asyncio.to_thread(outliving.begun.wait)
            await run_sync(close_old_connections)
        outliving.unit_ended.set()
        with pytest.raises(OperationalError, match="Its session had been changed"):
            await task
        assert outliving.seen == []
        await nothing_is_left()

    loop_runner(main)


def test_a_pinned_connection_that_was_lost_is_not_taken_from_a_thread_at_the_units_end(
    loop_runner: LoopRunner, postgres: Postgres
) -> None:
    """The connection that took its place has the same turns."""
    admin = Admin(postgres)

    def in_thread() -> int:
        return int(ask("SELECT 4711 FROM pg_sleep(0.3)"))

    def lose() -> None:
        wrapper: Any = connections["default"]
        wrapper.close_in_any_state(wrapper.pinned)

    async def main() -> None:
        with unit_of_work():
            await run_sync(set_tag)
            await run_sync(lose)
            await asyncio.to_thread(ask, "SELECT 1")
            task = asyncio.create_task(asyncio.to_thread(in_thread))
            await aeventually(admin.running)
        assert await task == 4711
        await nothing_is_left()

    loop_runner(main)


# A function that async code runs in a thread, and that outlives its unit with a changed session.

LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"


class Outliving:
    """Asks in a thread before and after the end of its unit."""

    def __init__(self, *statements: str) -> None:
        self.begun, self.unit_ended = threading.Event(), threading.Event()
        self.statements = statements
        self.seen: list[Any] = []

    def __call__(self) -> None:
        self.begun.set()
        assert self.unit_ended.wait(30)
        self.seen += [ask(statement) for statement in self.statements]


@pytest.mark.parametrize("run", JOBS)
def test_a_session_stays_with_the_functions_that_outlive_its_unit(
    loop_runner: LoopRunner, run: Run
) -> None:
    async def main() -> None:
        jobs = [Outliving("SELECT pg_backend_pid()", TAG) for _ in range(2)]
        with unit_of_work():
            await run_sync(set_tag)
            pid = await aask("SELECT pg_backend_pid()")
            tasks = [asyncio.create_task(run(job)) for job in jobs]
            await aeventually(lambda: all(job.begun.is_set() for job in jobs))
        for job, task in zip(jobs, tasks, strict=True):
            assert django_loom.pool().statistics().pinned == in_use() == 1
            assert await aask(TAG) in (None, "")
            job.unit_ended.set()
            await task
            assert job.seen == [pid, "x"]
        await nothing_is_left()

    loop_runner(main)


async def by_orm(name: str) -> None:
    await Author.objects.acreate(name=name)


async def by_run_sync(name: str) -> None:
    await run_sync(Author.objects.create, name=name)


async def by_sync_to_async(name: str) -> None:
    await sync_to_async(Author.objects.create)(name=name)


async def in_atomic(name: str) -> None:
    async with django_loom.atomic():
        await Author.objects.acreate(name=name)


async def in_pin(name: str) -> None:
    async with django_loom.pin():
        await Author.objects.acreate(name=name)


async def in_task(name: str) -> None:
    await asyncio.create_task(by_orm(name))


WRITES = [by_orm, by_run_sync, by_sync_to_async, in_atomic, in_pin, in_task]


@pytest.mark.parametrize("run", JOBS)
def test_async_code_of_a_function_that_outlives_its_unit_has_the_session_and_the_locals(
    loop_runner: LoopRunner, run: Run
) -> None:
    seen: list[tuple[Any, Any]] = []
    local = threading.local()
    begun, unit_ended = threading.Event(), threading.Event()

    def look(**kwargs: Any) -> None:
        seen.append((ask(TAG), getattr(local, "tenant", None)))

    def set_tenant() -> None:
        set_tag()
        local.tenant = "x"

    def function() -> None:
        begun.set()
        assert unit_ended.wait(30)
        for write in WRITES:
            async_to_sync(write)(write.__name__)
        with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012
            for write in WRITES:
                async_to_sync(write)(f"undone {write.__name__}")
            raise ZeroDivisionError

    async def main() -> None:
        with unit_of_work():
            await run_sync(set_tenant)
            task = asyncio.create_task(run(function))
            await aeventually(begun.is_set)
        unit_ended.set()
        await task
        names = await run_sync(lambda: set(Author.objects.values_list("name", flat=True)))
        assert names == {write.__name__ for write in WRITES}
        await nothing_is_left()

    pre_save.connect(look)
    try:
        loop_runner(main)
    finally:
        pre_save.disconnect(look)
    assert seen == [("x", "x")] * (2 * len(WRITES))


@pytest.mark.parametrize("run", JOBS)
def test_an_advisory_lock_stays_with_the_function_that_outlives_its_unit(
    loop_runner: LoopRunner, run: Run
) -> None:
    async def main() -> None:
        job = Outliving(LOCKS)
        with unit_of_work():
            await run(execute, "SELECT pg_advisory_lock(4711)")
            task = asyncio.create_task(run(job))
            await aeventually(job.begun.is_set)
        assert await aask(LOCKS) == 1
        job.unit_ended.set()
        await task
        assert job.seen == [1]
        await nothing_is_left()
        assert await aask(LOCKS) == 0

    loop_runner(main)


def test_a_session_stays_though_the_function_fails_and_is_clean_then(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        job = Outliving(TAG, "SELECT 1 / 0")
        with unit_of_work():
            await run_sync(set_tag)
            task = asyncio.create_task(asyncio.to_thread(job))
            await aeventually(job.begun.is_set)
        job.unit_ended.set()
        with pytest.raises(DataError):
            await task
        await nothing_is_left()

    loop_runner(main)


def test_what_a_session_has_left_open_is_undone_when_the_last_function_ends(
    loop_runner: LoopRunner, caplog: pytest.LogCaptureFixture
) -> None:
    def leave_open() -> None:
        transaction.set_autocommit(False)
        Author.objects.create(name="undone")

    async def main() -> None:
        job = Outliving("SELECT count(*) FROM testapp_author")
        with unit_of_work():
            await run_sync(leave_open)
            task = asyncio.create_task(asyncio.to_thread(job))
            await aeventually(job.begun.is_set)
        job.unit_ended.set()
        await task
        assert job.seen == [1]
        await nothing_is_left()
        assert await Author.objects.acount() == 0

    with caplog.at_level(logging.WARNING, "django_loom"):
        loop_runner(main)
    assert "Autocommit was off" in caplog.text


def test_a_function_that_begins_after_its_unit_finds_a_clean_session(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        with unit_of_work():
            await run_sync(set_tag)
            context = copy_context()
        late = asyncio.get_running_loop().create_task(asyncio.to_thread(ask, TAG), context=context)
        assert await late in (None, "")
        await nothing_is_left()

    loop_runner(main)


def test_sqlite_keeps_a_session_for_the_function_that_outlives_its_unit(
    loop_runner: LoopRunner, sqlite_tables: None
) -> None:
    begun, unit_ended = threading.Event(), threading.Event()

    def in_thread() -> Any:
        begun.set()
        assert unit_ended.wait(30)
        return ask("SELECT n FROM kept", using="sqlite")

    async def main() -> None:
        with unit_of_work():
            await aask_all("CREATE TEMP TABLE kept (n)", "INSERT INTO kept VALUES (4711)")
            task = asyncio.create_task(asyncio.to_thread(in_thread))
            await aeventually(begun.is_set)
        unit_ended.set()
        assert await task == 4711
        await aeventually(lambda: in_use("sqlite") == 0)
        with pytest.raises(OperationalError, match="no such table"):
            await aask("SELECT n FROM kept", using="sqlite")

    async def aask_all(*statements: str) -> None:
        def execute_all() -> None:
            with connections["sqlite"].cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)

        await run_sync(execute_all)

    loop_runner(main)
