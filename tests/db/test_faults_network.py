"""The network stalls or breaks: nothing hangs past its timeout, and then it works again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connections, transaction

import django_loom
from django_loom import run_sync
from django_loom.bridge import unit_of_work
from django_loom.db import resetting
from django_loom.db.postgresql import connection as postgresql_connection
from django_loom.exceptions import PoolTimeout
from django_loom.lab.servers.proxies import ThreadedProxy
from tests.db.faults import (
    ALIAS,
    SLOW,
    Admin,
    assert_chained,
    faulty_database,
    fill_pool,
    proxied,
    run_slow,
)
from tests.db.support import aask, ask
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.services import Postgres

SOON = 0.05


@pytest.fixture
def network(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[ThreadedProxy, Postgres]]:
    monkeypatch.setattr(postgresql_connection, "CANCEL_TIMEOUT", SOON)
    with proxied(postgres) as both:
        yield both


@pytest.fixture
def proxy(network: tuple[ThreadedProxy, Postgres]) -> Iterator[ThreadedProxy]:
    proxy, address = network
    with faulty_database(address):
        yield proxy


@pytest.fixture
def admin(postgres: Postgres) -> Admin:
    return Admin(postgres)


async def seven() -> None:
    assert await aask("SELECT 7", using=ALIAS) == 7


async def in_time(call: Callable[[], Awaitable[Any]]) -> None:
    """The call is ended by its timeout, with nothing left in use."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SOON):
            await call()
    assert django_loom.pool(ALIAS).statistics().used == 0


# Stalls.


def test_a_stall_while_a_query_is_sent_or_answered(
    loop_runner: LoopRunner, proxy: ThreadedProxy
) -> None:
    async def main() -> None:
        await fill_pool(2)
        proxy.stall()
        await in_time(seven)
        await in_time(seven)
        proxy.resume()
        await seven()

    loop_runner(main)
    figures = django_loom.pool(ALIAS).statistics()
    assert (figures.created, figures.lost, figures.idle) == (3, 2, 1)


def test_a_stall_while_a_large_query_is_sent(loop_runner: LoopRunner, proxy: ThreadedProxy) -> None:
    async def main() -> None:
        await seven()
        proxy.stall()
        await in_time(lambda: aask("SELECT length(%s)", "x" * 50_000_000, using=ALIAS))
        proxy.resume()
        await seven()

    loop_runner(main)


def test_a_stall_that_keeps_the_cancellation_from_the_server(
    loop_runner: LoopRunner, proxy: ThreadedProxy, admin: Admin
) -> None:
    async def main() -> None:
        (task,) = await run_slow(admin)
        pids = admin.running()
        proxy.stall_new()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert django_loom.pool(ALIAS).statistics().size == 0
        proxy.resume()
        await seven()
        admin.terminate(*pids)

    loop_runner(main)


def test_a_second_cancellation_ends_the_wait_for_the_first_ones_answer(
    loop_runner: LoopRunner,
    proxy: ThreadedProxy,
    admin: Admin,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(postgresql_connection, "CANCEL_TIMEOUT", 3600)

    async def main() -> None:
        (task,) = await run_slow(admin)
        pids = admin.running()
        proxy.stall_new()
        task.cancel()
        await aeventually(lambda: proxy.links == 2 and proxy.held)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert django_loom.pool(ALIAS).statistics().size == 0
        proxy.resume()
        await seven()
        admin.terminate(*pids)

    loop_runner(main)


def test_a_stall_while_connecting_under_a_timeout(
    loop_runner: LoopRunner, proxy: ThreadedProxy
) -> None:
    async def main() -> None:
        proxy.stall()
        await in_time(seven)
        proxy.resume()
        await seven()

    loop_runner(main)
    assert django_loom.pool(ALIAS).statistics().created == 1


def test_connecting_ends_after_connect_timeout(network: tuple[ThreadedProxy, Postgres]) -> None:
    proxy, address = network

    async def main() -> None:
        proxy.stall()
        calls = [seven() for _ in range(3)]
        for error in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(error, OperationalError)
            assert "connection timeout expired" in str(error)
            assert_chained(error)
        proxy.resume()
        await seven()

    with faulty_database(address, OPTIONS={"connect_timeout": 2}):  # psycopg's least
        asyncio.run(main())


def test_connecting_takes_no_longer_than_the_pools_timeout(
    network: tuple[ThreadedProxy, Postgres],
) -> None:
    proxy, address = network

    async def main() -> None:
        proxy.stall()
        with pytest.raises(OperationalError, match="connection timeout expired"):
            await seven()
        proxy.resume()

    with faulty_database(address, pool={"timeout": 0.1}):
        asyncio.run(main())


def test_who_waits_for_a_connection_gets_the_place_of_one_that_stalls(
    network: tuple[ThreadedProxy, Postgres], loop_runner: LoopRunner, admin: Admin
) -> None:
    proxy, address = network

    async def main() -> None:
        (task,) = await run_slow(admin)
        pids = admin.running()
        waiting = asyncio.create_task(seven())
        await asyncio.sleep(0)
        proxy.stall()
        task.cancel()
        await asyncio.wait([task])
        proxy.resume()
        await waiting
        admin.terminate(*pids)

    with faulty_database(address, pool={"max_size": 1}):
        loop_runner(main)


# Stalls while a changed session is made clean again.


def change_session() -> None:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("SET loom.tag = 'x'")


@pytest.fixture
def one_place(network: tuple[ThreadedProxy, Postgres]) -> Iterator[ThreadedProxy]:
    proxy, address = network
    with faulty_database(address, pool={"max_size": 1, "timeout": 0.02}):
        yield proxy


@pytest.mark.parametrize("suspect", [False, True])
def test_a_stall_while_a_session_is_reset(
    loop_runner: LoopRunner,
    proxy: ThreadedProxy,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    suspect: bool,
) -> None:
    def unit() -> None:
        change_session()
        connections[ALIAS].errors_occurred = suspect  # which has it looked at first

    async def main() -> None:
        with unit_of_work():
            await run_sync(unit)
            proxy.stall()
        await aeventually(lambda: django_loom.pool(ALIAS).statistics().size == 0)
        proxy.resume()
        await seven()

    monkeypatch.setattr(resetting, "RESET_TIMEOUT", SOON)
    loop_runner(main)
    if not suspect:
        assert f"could not be reset (no answer within {SOON:g} s)" in caplog.text


def test_a_stall_while_a_thread_resets_a_session(
    proxy: ThreadedProxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(resetting, "RESET_TIMEOUT", SOON)
    with unit_of_work():
        change_session()
        proxy.stall()
    assert django_loom.pool(ALIAS).statistics().size == 0
    assert f"could not be reset (no answer within {SOON:g} s)" in caplog.text
    proxy.resume()
    assert ask("SELECT 7", using=ALIAS) == 7


def test_who_waits_meanwhile_is_told_of_the_reset(
    loop_runner: LoopRunner, one_place: ThreadedProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        with unit_of_work():
            await run_sync(change_session)
            one_place.stall()
        with pytest.raises(PoolTimeout) as caught:
            await seven()
        said = rf"s by the reset of its session, taken at {re.escape(__file__)}:\d+ in change_sess"
        assert re.search(said, str(caught.value))
        one_place.resume()
        await aeventually(lambda: django_loom.pool(ALIAS).statistics().idle == 1)
        await seven()
        assert django_loom.pool(ALIAS).statistics().created == 1

    monkeypatch.setattr(resetting, "RESET_TIMEOUT", 3600)
    loop_runner(main)


@pytest.mark.parametrize("side", ["sync", "async"])
@pytest.mark.parametrize("where", ["statement", "commit", "rollback", "savepoint"])
def test_a_stall_in_a_transaction(
    loop_runner: LoopRunner, proxy: ThreadedProxy, side: str, where: str
) -> None:
    """Whatever the block was about to do, it ends, and its connection is not used again."""

    stalled = 0

    def statements(inside: Any) -> Iterator[Any]:
        nonlocal stalled
        yield "SELECT 1"
        proxy.stall()
        stalled += 1
        if where == "statement":
            yield "SELECT 2"
        elif where == "savepoint":
            yield inside
        elif where == "rollback":
            raise KeyError

    def sync_block() -> None:
        with transaction.atomic(ALIAS):
            for statement in statements(transaction.atomic(ALIAS)):
                if isinstance(statement, str):
                    ask(statement, using=ALIAS)
                else:
                    with statement:
                        pass

    async def async_block() -> None:
        async with django_loom.atomic(ALIAS):
            for statement in statements(django_loom.atomic(ALIAS)):
                if isinstance(statement, str):
                    await aask(statement, using=ALIAS)
                else:
                    async with statement:
                        pass

    def is_stalled(times: int) -> bool:
        return stalled == times

    async def main() -> None:
        for times in (1, 2):
            block = django_loom.run_sync(sync_block) if side == "sync" else async_block()
            task = asyncio.create_task(block)
            await aeventually(partial(is_stalled, times))  # before, it holds what opens one
            await aeventually(lambda: proxy.held > 0)  # what the block was about to do
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            assert django_loom.pool(ALIAS).statistics().used == 0
            proxy.resume()
            await aeventually(lambda: proxy.held == 0)
        await seven()

    loop_runner(main)
    assert django_loom.pool(ALIAS).statistics().lost == 2


# Breaks.


def test_a_break_while_idle_is_not_noticed(loop_runner: LoopRunner, proxy: ThreadedProxy) -> None:
    async def main() -> None:
        await fill_pool(3)
        proxy.break_all()
        await fill_pool(3)

    loop_runner(main)


def test_a_break_while_a_query_runs(
    loop_runner: LoopRunner, proxy: ThreadedProxy, admin: Admin
) -> None:
    async def main() -> None:
        (task,) = await run_slow(admin)
        pids = admin.running()
        proxy.break_all()
        with pytest.raises(OperationalError) as caught:
            await task
        assert_chained(caught.value)
        await seven()
        admin.terminate(*pids)

    loop_runner(main)


def test_a_break_in_a_transaction(loop_runner: LoopRunner, proxy: ThreadedProxy) -> None:
    async def block() -> None:
        async with django_loom.atomic(ALIAS):
            await seven()
            proxy.break_all()
            await seven()

    async def main() -> None:
        with pytest.raises((OperationalError, InterfaceError)) as caught:
            await block()
        assert_chained(caught.value)
        await seven()

    loop_runner(main)


def test_a_break_before_the_commit_is_an_error(
    loop_runner: LoopRunner, proxy: ThreadedProxy
) -> None:
    async def block() -> None:
        async with django_loom.atomic(ALIAS):
            await seven()
            proxy.break_all()

    async def main() -> None:
        with pytest.raises((OperationalError, InterfaceError)) as caught:
            await block()
        assert_chained(caught.value)
        await seven()

    loop_runner(main)


def test_a_connection_whose_server_said_farewell_is_not_used_even_if_it_is_open(
    loop_runner: LoopRunner, proxy: ThreadedProxy, admin: Admin
) -> None:
    async def main() -> None:
        (pid,) = await fill_pool(1)
        proxy.hold_ends()
        admin.terminate(pid)
        connection = django_loom.pool(ALIAS)._state.idle[0].connection
        await aeventually(lambda: not connection.is_silent())
        await seven()

    loop_runner(main)
    assert django_loom.pool(ALIAS).statistics().lost == 1


def test_a_thread_is_not_kept_by_a_stall_longer_than_connect_timeout(
    network: tuple[ThreadedProxy, Postgres],
) -> None:
    proxy, address = network
    proxy.stall()
    with faulty_database(address, OPTIONS={"connect_timeout": 2}):
        with pytest.raises(OperationalError, match="timeout expired") as caught:
            ask(SLOW, using=ALIAS)
        assert_chained(caught.value)
        proxy.resume()
        assert ask("SELECT 7", using=ALIAS) == 7
        connections[ALIAS].close()
