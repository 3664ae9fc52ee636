"""A changed session is the unit's while it lives, and undone before others get it."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from contextvars import Context
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.backends.signals import connection_created

import django_loom
from django_loom import await_, run_sync
from django_loom.bridge import unit_of_work
from django_loom.db.postgresql import waiting
from django_loom.db.postgresql.base import DatabaseWrapper
from django_loom.db.postgresql.session import changes_session
from tests.db.faults import Admin
from tests.db.support import (
    TAG,
    aask,
    abackend_pid,
    ask,
    execute,
    in_use,
    let_others_run,
    pinned,
    second_alias,
)
from tests.loops import LoopRunner, new_loop
from tests.polling import aeventually, eventually
from tests.services import Postgres
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables")


# While the unit lives.


def test_all_code_of_the_unit_finds_the_session(loop_runner: LoopRunner) -> None:
    async def unit(number: int) -> set[Any]:
        with unit_of_work():
            await run_sync(execute, f"SET loom.tag = 'tag {number}'")
            found = [await aask(TAG), await asyncio.to_thread(ask, TAG)]
            found += await asyncio.gather(*[aask(TAG) for _ in range(3)])
            async with django_loom.atomic():
                found.append(await aask(TAG))
            async for _ in Author.objects.aiterator():
                found.append(await aask(TAG))
            return set(found)

    async def main() -> None:
        await Author.objects.acreate(name="Ann")
        tags = await asyncio.gather(*[unit(number) for number in range(8)])
        assert tags == [{f"tag {number}"} for number in range(8)]
        await aeventually(lambda: in_use() == 0)
        assert {await aask(TAG) for _ in range(12)} <= {None, ""}

    loop_runner(main)


def test_gathered_code_waits_for_a_transaction_on_the_pinned_connection(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        order: list[str] = []
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def block() -> None:
            async with django_loom.atomic():
                await Author.objects.acreate(name="in the block")
                begun.set()
                await go_on.wait()
                order.append("block")

        async def beside() -> None:
            await Author.objects.acreate(name="beside")
            order.append("beside")

        with unit_of_work():
            await run_sync(execute, "SET loom.tag = 'x'")
            pid = await abackend_pid()
            task = asyncio.create_task(block())
            await begun.wait()
            other = asyncio.create_task(beside())
            await asyncio.sleep(0)
            assert order == []
            go_on.set()
            await asyncio.gather(task, other)
            assert order == ["block", "beside"]
            assert await abackend_pid() == pid
        await aeventually(lambda: in_use() == 0)
        assert await Author.objects.acount() == 2

    loop_runner(main)


# Before others get it.


def test_the_next_unit_has_the_connection_and_nothing_of_the_session(
    loop_runner: LoopRunner,
) -> None:
    created: list[Any] = []

    def note(**kwargs: Any) -> None:
        created.append(ask(TAG, using=kwargs["connection"].alias))

    async def main() -> None:
        with second_alias() as alias:
            with unit_of_work():
                await run_sync(execute, "SET loom.tag = 'x'", "LISTEN news", using=alias)
                await aask("SELECT pg_advisory_lock(7)", using=alias)
                await run_sync(execute, "CREATE TEMP TABLE mine (n int)", using=alias)
                pid = await abackend_pid(alias)
                connection_created.connect(note)
            try:
                await aeventually(lambda: in_use(alias) == 0)
            finally:
                connection_created.disconnect(note)
            assert await abackend_pid(alias) == pid
            assert created in ([None], [""])
            assert await aask(TAG, using=alias) in (None, "")
            assert await aask("SELECT count(*) FROM pg_listening_channels()", using=alias) == 0
            held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = %s"
            assert await aask(held, pid, using=alias) == 0
            assert await aask("SELECT to_regclass('mine')", using=alias) is None
            assert (await abackend_pid(alias), django_loom.pool(alias).statistics().lost) == (
                pid,
                0,
            )

    loop_runner(main)


@pytest.mark.parametrize("level", [logging.DEBUG, logging.WARNING])
def test_a_reset_that_fails_closes_the_connection_and_frees_its_place(
    loop_runner: LoopRunner,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    level: int,
) -> None:
    def fail(connection: Any) -> None:
        raise psycopg.OperationalError("no\nreset")

    async def main() -> None:
        monkeypatch.setattr(DatabaseWrapper.engine, "reset_session", fail)
        pids = set()
        for _ in range(12):  # more often than the pool has places
            with unit_of_work():
                await run_sync(execute, "SET loom.tag = 'x'")
                pids.add(await abackend_pid())
            await aeventually(lambda: in_use() == 0)
        assert len(pids) == 12

    with caplog.at_level(level, "django_loom"):
        loop_runner(main)
    warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert len(warnings) == 12
    assert all("could not be reset (no reset)" in each.getMessage() for each in warnings)
    # The traceback is for who looks for it: mostly a server was just restarted.
    assert all(bool(each.exc_info) == (level == logging.DEBUG) for each in warnings)


def test_a_loop_that_ends_before_the_reset_loses_no_place(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        with unit_of_work():
            await run_sync(execute, "SET loom.tag = 'x'")

    for _ in range(12):
        loop_runner(main)
    assert loop_runner(aask, TAG) in (None, "")
    assert in_use() == 0


@pytest.mark.parametrize("turns", range(4))
def test_a_loop_that_is_closed_in_the_midst_of_a_reset_frees_its_place_at_once(
    loop_runner: LoopRunner, turns: int
) -> None:
    async def main() -> None:
        with unit_of_work():
            await run_sync(execute, "SET loom.tag = 'x'")
        await let_others_run(turns)

    for _ in range(2 * django_loom.pool().options.max_size):
        loop = new_loop(loop_runner.kind)
        loop.run_until_complete(main())
        gc.disable()  # which would free it late, and hide the fault
        try:
            loop.close()  # with its tasks under way, as no Runner does
            assert in_use() == 0
        finally:
            gc.enable()
    with warnings.catch_warnings(action="ignore"):  # of tasks that were pending
        gc.collect()
    assert in_use() == 0
    assert django_loom.pool().statistics().pinned == 0
    assert {loop_runner(aask, TAG) for _ in range(3)} <= {None, ""}


def test_an_isolation_level_of_the_drivers_is_undone(loop_runner: LoopRunner) -> None:
    def work() -> None:
        connection.ensure_connection()
        connection.connection.set_isolation_level(psycopg.IsolationLevel.SERIALIZABLE)
        with transaction.atomic():
            assert ask("SHOW transaction_isolation") == "serializable"

    def isolation() -> str:
        with transaction.atomic():
            return ask("SHOW transaction_isolation")

    async def main() -> None:
        with unit_of_work():
            await run_sync(work)
            assert await run_sync(isolation) == "serializable"
        await aeventually(lambda: in_use() == 0)
        assert {await run_sync(isolation) for _ in range(12)} == {"read committed"}

    loop_runner(main)


# pin() and OPTIONS["pool"]["per_unit"]: for what no statement tells.

HIDDEN = "SELECT hide()"
HIDING = """
CREATE FUNCTION hide() RETURNS text LANGUAGE sql AS
$$ SELECT set_config('loom.tag', 'hidden', false) $$
"""


@pytest.fixture
def hiding(postgres: Postgres) -> Iterator[None]:
    """A function of the database that changes the session, as no statement tells."""
    assert not changes_session(HIDDEN)
    name = settings.DATABASES["default"]["NAME"]
    with psycopg.connect(postgres.dsn, dbname=name, autocommit=True) as outside:
        outside.execute(HIDING)
        yield
        outside.execute("DROP FUNCTION hide()")


@pytest.mark.usefixtures("hiding")
def test_pin_keeps_one_connection_and_resets_it(loop_runner: LoopRunner) -> None:
    def in_sync_code() -> Any:
        with django_loom.pin():
            execute(HIDDEN)
            await_(asyncio.sleep(0))
            assert pinned() == 1
            return ask(TAG)

    async def main() -> None:
        async with django_loom.pin():
            await run_sync(execute, HIDDEN)
            assert set(await asyncio.gather(*[aask(TAG) for _ in range(3)])) == {"hidden"}
        assert await run_sync(in_sync_code) == "hidden"
        await aeventually(lambda: (in_use(), pinned()) == (0, 0))
        assert {await aask(TAG) for _ in range(5)} <= {None, ""}

    loop_runner(main)


@pytest.fixture(params=["with", "exit stack", "one object"])
def pin_block(request: pytest.FixtureRequest) -> Callable[[], AbstractAsyncContextManager[None]]:
    """What makes a block of pin() for a task."""
    one = django_loom.pin()

    @asynccontextmanager
    async def block() -> AsyncIterator[None]:
        own = one if request.param == "one object" else django_loom.pin()
        async with AsyncExitStack() as stack:
            if request.param == "exit stack":
                await stack.enter_async_context(one)
                yield
            else:
                async with own:
                    yield

    return block


@pytest.mark.usefixtures("hiding")
@pytest.mark.parametrize("in_unit", [True, False])
def test_a_block_of_pin_keeps_its_session_when_another_ends(
    loop_runner: LoopRunner,
    in_unit: bool,
    pin_block: Callable[[], AbstractAsyncContextManager[None]],
) -> None:
    async def first(entered: asyncio.Event, both: asyncio.Event) -> None:
        async with pin_block():
            entered.set()
            await both.wait()

    async def second(entered: asyncio.Event, both: asyncio.Event, left: asyncio.Event) -> None:
        await entered.wait()
        async with pin_block():
            await run_sync(execute, HIDDEN)
            both.set()
            await left.wait()
            assert await aask(TAG) == "hidden"

    async def main() -> None:
        entered, both, left = asyncio.Event(), asyncio.Event(), asyncio.Event()
        with unit_of_work() if in_unit else nullcontext():
            task = asyncio.create_task(second(entered, both, left))
            await asyncio.create_task(first(entered, both))
            left.set()
            await task
            assert await aask(TAG) in (None, "")
        await aeventually(lambda: (in_use(), pinned()) == (0, 0))

    loop_runner(main)


@pytest.mark.usefixtures("hiding")
def test_calls_beside_each_other_share_one_object_of_pin(loop_runner: LoopRunner) -> None:
    shared = django_loom.pin()

    def first(entered: asyncio.Event, both: asyncio.Event) -> None:
        with shared:
            entered.set()
            await_(both.wait())

    def second(entered: asyncio.Event, both: asyncio.Event, left: asyncio.Event) -> Any:
        await_(entered.wait())
        with shared, shared:
            execute(HIDDEN)
            both.set()
            await_(left.wait())
            return ask(TAG)

    async def main() -> None:
        entered, both, left = asyncio.Event(), asyncio.Event(), asyncio.Event()
        with unit_of_work():
            task = asyncio.create_task(run_sync(second, entered, both, left))
            await run_sync(first, entered, both)
            left.set()
            assert await task == "hidden"
        await aeventually(lambda: (in_use(), pinned()) == (0, 0))

    loop_runner(main)


def test_code_whose_session_is_lost_is_told(loop_runner: LoopRunner, postgres: Postgres) -> None:
    """A task is cancelled again and again, so that its connection has to be closed."""

    admin = Admin(postgres)

    async def main() -> None:
        with unit_of_work():
            await run_sync(execute, "SET loom.tag = 'mine'")
            task = asyncio.create_task(aask("SELECT pg_sleep(30)"))
            await aeventually(admin.running)
            while not task.done():
                task.cancel()
                await asyncio.sleep(0)
            for _ in range(2):
                with pytest.raises(OperationalError, match=r"Its session .* is lost"):
                    await aask(TAG)
            await run_sync(connection.close)
            assert await aask(TAG) in (None, "")
        await aeventually(lambda: (in_use(), pinned()) == (0, 0))

    loop_runner(main)


@pytest.mark.usefixtures("hiding")
def test_per_unit_pins_always(loop_runner: LoopRunner) -> None:
    options = {"pool": {"max_size": 3, "per_unit": True}}

    async def main() -> None:
        with second_alias(OPTIONS=options) as alias:
            with unit_of_work():
                await run_sync(execute, HIDDEN, using=alias)
                assert {await aask(TAG, using=alias) for _ in range(3)} == {"hidden"}
            await aeventually(lambda: in_use(alias) == 0)
            assert {await aask(TAG, using=alias) for _ in range(3)} <= {None, ""}
            await aeventually(lambda: in_use(alias) == 0)

    loop_runner(main)


def test_a_thread_that_outlives_its_unit_keeps_the_pinned_connection_to_itself(
    loop_runner: LoopRunner, meeting_point: None
) -> None:
    """Given back at once, two flows would use it: the thread, and whoever gets it next."""

    def in_thread() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT meet(2)")
            return cursor.fetchone()[0]

    async def main() -> None:
        with unit_of_work():
            await run_sync(execute, "SET loom.tag = 'x'")
            task = asyncio.create_task(asyncio.to_thread(in_thread))
            await aeventually_running()
        others = await asyncio.gather(*(abackend_pid() for _ in range(5)))
        await aask("SELECT meet(2)")
        assert await task not in others
        await aeventually(lambda: in_use() == 0)

    async def aeventually_running() -> None:
        while not await Context().run(asyncio.create_task, aask(ARRIVED)):
            pass

    loop_runner(main)


ARRIVED = "SELECT is_called FROM arrivals"


# Cut short.


@pytest.mark.parametrize(
    "statement", ["SELECT pg_advisory_lock(4711)", "SET loom.tag = 'x'", "LISTEN news"]
)
def test_a_change_whose_answer_nobody_has_read_is_undone(
    loop_runner: LoopRunner,
    postgres: Postgres,
    statement: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "MAX_BUSY_TIME", math.inf)  # it sends in its first step
    admin = Admin(postgres)

    def answered(pid: int) -> list[Any]:
        idle = "SELECT pid FROM pg_stat_activity WHERE state = 'idle' AND query = %s AND pid = %s"
        return admin(idle, statement, pid)

    left = """
        SELECT current_setting('loom.tag', true) = 'x' OR EXISTS (
            SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
        ) OR EXISTS (SELECT 1 FROM pg_listening_channels())
    """

    async def main() -> None:
        pid = await abackend_pid()  # a connection is open
        task = asyncio.create_task(run_sync(execute, statement))
        await asyncio.sleep(0)
        eventually(lambda: answered(pid))  # without the loop, which does not see it
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await aeventually(lambda: in_use() == 0)
        assert not await aask(left)

    loop_runner(main)
