"""Pools over a server's life: opened ahead, swept, closed; a database may be down meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connections

import django_loom
from django_loom.db import lifespan, registry
from django_loom.db.lifespan import close_pools, open_pools, sweep_pools
from django_loom.db.pool_options import PoolOptions
from django_loom.exceptions import PoolOptionError
from django_loom.lab.servers.proxies import ThreadedProxy
from tests import services
from tests.db.faults import ALIAS, POOL, assert_pool_is_whole, faulty_database, proxied
from tests.db.pool_tools import Clock, PlainPool
from tests.db.support import aask, ask, database, in_use
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.services import Postgres

NOBODY_LISTENS = Postgres("127.0.0.1", 1, "nobody")

pytestmark = pytest.mark.usefixtures("db_tables", "sqlite_tables")


@pytest.fixture(autouse=True)
def fresh_pools() -> Iterator[None]:
    registry.close_all()
    yield
    registry.close_all()


@contextmanager
def ahead(server: Postgres, number: int) -> Iterator[None]:
    with faulty_database(server, pool=POOL | {"min_size": number}):
        yield


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    records = [record for record in caplog.records if record.name == "django_loom"]
    assert {record.levelno for record in records} <= {logging.WARNING}
    return [record.getMessage() for record in records]


# Opening.


def test_min_size_connections_are_open_and_idle_in_each_pool(
    loop_runner: LoopRunner, postgres: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        assert set(await open_pools()) == {"default", "other", "sqlite", ALIAS}
        figures = {pool.alias: pool.statistics() for pool in registry.pools()}
        idle = {alias: each.idle for alias, each in figures.items()}
        assert idle == {"default": 1, "other": 1, "sqlite": 1, ALIAS: 3}
        assert all(each.size == each.created == each.idle for each in figures.values())
        assert await aask("SELECT 7", using=ALIAS) == 7
        assert django_loom.pool(ALIAS).statistics().created == 3

    with ahead(postgres, 3):
        loop_runner(main)
    assert warnings_of(caplog) == []


def test_one_connection_is_tried_where_the_pool_keeps_none(
    loop_runner: LoopRunner, postgres: Postgres
) -> None:
    with ahead(postgres, 0):
        assert loop_runner(open_pools)[ALIAS] is None
        assert django_loom.pool(ALIAS).statistics().idle == 1


def test_a_second_opening_adds_only_what_is_missing(
    loop_runner: LoopRunner, postgres: Postgres
) -> None:
    async def main() -> None:
        await aask("SELECT 1", using=ALIAS)
        await open_pools()
        await open_pools()
        assert django_loom.pool(ALIAS).statistics().created == 2

    with ahead(postgres, 2):
        loop_runner(main)


def test_a_database_in_memory_is_opened_once(loop_runner: LoopRunner) -> None:
    with database("memory", ENGINE="django_loom.db.sqlite3", NAME=":memory:"):
        assert loop_runner(open_pools)["memory"] is None
        assert django_loom.pool("memory").statistics().idle == 1


def test_an_engine_that_is_not_ours_is_left_alone(loop_runner: LoopRunner) -> None:
    with database("stock", ENGINE="tests.fake_engine", NAME="nowhere"):
        assert "stock" not in loop_runner(open_pools)


def test_an_entry_that_is_not_valid_raises(loop_runner: LoopRunner, postgres: Postgres) -> None:
    options = {"pool": {"maxsize": 1}}
    entry = postgres.django(ENGINE="django_loom.db.postgresql", OPTIONS=options)
    with database("wrong", **entry), pytest.raises(PoolOptionError):
        loop_runner(open_pools)


# Databases out of reach.


def test_a_database_that_is_down_is_one_clear_line(
    loop_runner: LoopRunner, caplog: pytest.LogCaptureFixture
) -> None:
    with ahead(NOBODY_LISTENS, 2):
        found = loop_runner(open_pools)
    assert isinstance(found.pop(ALIAS), OperationalError)
    assert set(found.values()) == {None}
    (line,) = warnings_of(caplog)
    assert line.startswith("Database 'faulty': 0 of 2 connections could be opened (")
    assert "Connection refused" in line
    assert line.endswith("The next query tries again.")
    assert "\n" not in line


def test_a_database_that_is_down_serves_when_it_is_up(
    loop_runner: LoopRunner, own_postgres: services.PrivatePostgres
) -> None:
    async def main() -> None:
        own_postgres.stop()
        try:
            found = await open_pools()
        finally:
            own_postgres.start()
        assert isinstance(found[ALIAS], OperationalError)
        assert await aask("SELECT 7", using=ALIAS) == 7

    with ahead(own_postgres, 2):
        loop_runner(main)


def test_a_sqlite_file_that_cannot_be_opened_is_reported(
    loop_runner: LoopRunner, caplog: pytest.LogCaptureFixture
) -> None:
    with database("lost", ENGINE="django_loom.db.sqlite3", NAME="/nowhere/at/all.sqlite3"):
        assert isinstance(loop_runner(open_pools)["lost"], OperationalError)
        assert_pool_is_whole("lost")
    (line,) = warnings_of(caplog)
    assert line.startswith("Database 'lost': 0 of 1 connections could be opened (unable to open")


def test_what_could_be_opened_is_kept(
    loop_runner: LoopRunner, postgres: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    with proxied(postgres) as (proxy, address), ahead(address, 3):

        async def main() -> None:
            await aask("SELECT 1", using=ALIAS)
            proxy.stall_new()
            found = await open_pools(timeout=0.5)
            assert isinstance(found[ALIAS], TimeoutError)
            assert django_loom.pool(ALIAS).statistics().size == 1
            assert await aask("SELECT 7", using=ALIAS) == 7

        loop_runner(main)
    (line,) = warnings_of(caplog)
    assert line.startswith("Database 'faulty': 1 of 3 connections could be opened (no answer with")


@pytest.fixture
def hanging(postgres: Postgres) -> Iterator[ThreadedProxy]:
    with proxied(postgres) as (proxy, address), ahead(address, 2):
        proxy.stall()
        yield proxy


def test_a_database_that_hangs_delays_the_start_no_longer_than_the_timeout(
    loop_runner: LoopRunner, hanging: ThreadedProxy, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        found = await open_pools(timeout=0.05)
        assert str(found[ALIAS]) == "no answer within 0.05 s"
        assert in_use(ALIAS) == 0
        hanging.resume()
        assert await aask("SELECT 7", using=ALIAS) == 7

    loop_runner(main)
    assert "0 of 2 connections could be opened (no answer within 0.05 s)" in caplog.text


def test_a_cancelled_opening_leaves_no_lease(
    loop_runner: LoopRunner, hanging: ThreadedProxy
) -> None:
    async def main() -> None:
        opening = asyncio.create_task(open_pools())
        await aeventually(lambda: hanging.held >= 2)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert in_use(ALIAS) == 0

    loop_runner(main)


# Closing.


def test_closing_ends_idle_connections_at_once(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        await open_pools()
        pools = registry.pools()
        await close_pools()
        assert registry.pools() == []
        assert [pool.statistics().size for pool in pools] == [0, 0, 0]

    loop_runner(main)


def test_closing_waits_for_connections_in_use(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        pool = django_loom.pool()
        async with django_loom.atomic():
            await aask("SELECT 1")
            closing = asyncio.create_task(close_pools())
            await aeventually(lambda: pool.is_closed)
            assert await aask("SELECT 7") == 7
            assert not closing.done()
        await closing
        assert pool.statistics().size == 0

    loop_runner(main)


def test_who_holds_a_connection_after_the_timeout_is_named(
    loop_runner: LoopRunner, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        registry.close_all()  # a thread of another room's test may have a connection still
        async with django_loom.atomic():
            await aask("SELECT 1")
            await close_pools(timeout=0.01)

    loop_runner(main)
    (message,) = warnings_of(caplog)
    assert message.startswith("Connections to database 'default' are in use still, 0.01 s after")
    assert "The pool has 1 of 10 connections in use" in message
    assert "test_lifespan.py" in message


def test_a_cancelled_closing_has_closed_the_pools(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        pool = django_loom.pool()
        async with django_loom.atomic():
            await aask("SELECT 1")
            closing = asyncio.create_task(close_pools())
            await aeventually(lambda: pool.is_closed)
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
        assert pool.statistics().size == 0

    loop_runner(main)


def test_what_the_loops_own_thread_has_kept_is_closed_too(loop_runner: LoopRunner) -> None:
    assert ask("SELECT 7") == 7  # in plain synchronous code, before the loop runs
    pool = django_loom.pool()
    assert pool.statistics().used == 1
    loop_runner(close_pools)
    assert pool.statistics().size == 0
    assert connections["default"].connection is None


def test_a_connection_used_in_a_thread_ends_the_wait_when_it_comes_back(
    loop_runner: LoopRunner,
) -> None:
    pool = PlainPool(max_size=2)

    async def main() -> None:
        first, second = pool.take(), pool.take()
        pool.close()
        waiting = asyncio.create_task(django_loom.run_sync(pool.wait_until_unused, 30))
        await asyncio.sleep(0)
        await asyncio.to_thread(pool.release, first)
        assert not waiting.done()
        await asyncio.to_thread(pool.discard, second)
        await waiting
        await asyncio.to_thread(pool.wait_until_unused, 30)

    loop_runner(main)


# Sweeping.


def test_the_time_to_the_next_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    pool = PlainPool(max_idle=60, min_size=1)
    assert pool.close_stale() == 60
    slots = [pool.take(), pool.take()]
    oldest = slots[0].connection
    pool.release(slots[0])
    clock.now += 20
    pool.release(slots[1])
    assert pool.close_stale() == 40
    clock.now += 41
    assert pool.close_stale() == 19
    assert pool.closed == [oldest]
    clock.now += 20
    assert pool.close_stale() == 60, "min_size keeps the last one"
    assert pool.closed == [oldest]


def test_a_pool_that_nobody_uses_closes_what_is_idle_for_too_long(
    loop_runner: LoopRunner, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifespan, "_SHORTEST_SLEEP", 0.01)

    async def main() -> None:
        await open_pools()
        pool = django_loom.pool(ALIAS)
        sweeping = asyncio.create_task(sweep_pools())
        await aeventually(lambda: pool.statistics().idle == 0)
        assert django_loom.pool().statistics().idle == 1
        sweeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sweeping

    with faulty_database(postgres, pool=POOL | {"max_idle": 0.01}):
        loop_runner(main)


@pytest.mark.parametrize("max_idle", [0, float("inf")])
def test_the_sweep_neither_spins_nor_sleeps_for_ever(
    loop_runner: LoopRunner, monkeypatch: pytest.MonkeyPatch, max_idle: float
) -> None:
    pauses: list[float] = []

    async def note(pause: float) -> None:
        pauses.append(pause)
        raise asyncio.CancelledError

    pool = PlainPool(max_idle=max_idle)
    pool.use()
    assert pool.options == PoolOptions(max_idle=max_idle)
    monkeypatch.setattr(registry, "pools", lambda: [pool])
    monkeypatch.setattr(lifespan.asyncio, "sleep", note)
    with pytest.raises(asyncio.CancelledError):
        loop_runner(sweep_pools)
    assert pauses == [1.0 if max_idle == 0 else 3600.0]
