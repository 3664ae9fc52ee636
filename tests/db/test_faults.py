"""The server restarts, is down, refuses or kills a connection: an error, and then it works."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import psycopg
import pytest
from django.db import InterfaceError, OperationalError, connections, transaction

import django_loom
from tests.db.faults import (
    ALIAS,
    Admin,
    assert_chained,
    assert_pool_is_whole,
    faulty_database,
    fill_pool,
    run_slow,
)
from tests.db.support import aask, ask
from tests.loops import LoopRunner
from tests.services import PrivatePostgres


@pytest.fixture
def admin(own_postgres: PrivatePostgres) -> Admin:
    return Admin(own_postgres)


@pytest.fixture
def faulty(own_postgres: PrivatePostgres) -> Iterator[None]:
    with faulty_database(own_postgres):
        yield


@pytest.fixture
def table(admin: Admin) -> Iterator[None]:
    admin("CREATE TABLE entry (id int)")
    yield
    admin("DROP TABLE entry")


def insert(number: int) -> None:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("INSERT INTO entry VALUES (%s)", [number])


# The server restarts.


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_while_connections_are_idle_is_not_noticed(
    loop_runner: LoopRunner, own_postgres: PrivatePostgres, faulty: None, mode: str
) -> None:
    async def main() -> None:
        before = await fill_pool(3)
        own_postgres.restart(mode)
        after = await fill_pool(3)
        assert not set(before) & set(after)

    loop_runner(main)
    figures = django_loom.pool(ALIAS).statistics()
    assert (figures.created, figures.lost, figures.idle) == (6, 3, 3)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_while_queries_run_fails_them_and_no_other(
    loop_runner: LoopRunner, own_postgres: PrivatePostgres, admin: Admin, faulty: None, mode: str
) -> None:
    async def main() -> None:
        tasks = await run_slow(admin, 3)
        waiting = asyncio.create_task(aask("SELECT 7", using=ALIAS))  # no connection is free
        await asyncio.to_thread(own_postgres.stop, mode)
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, OperationalError)
            assert_chained(result)
        # Whoever waited for a connection got a place, and found the server down.
        (result,) = await asyncio.gather(waiting, return_exceptions=True)
        assert isinstance(result, OperationalError)
        assert django_loom.pool(ALIAS).statistics().size == 0
        await asyncio.to_thread(own_postgres.start)
        assert await aask("SELECT 7", using=ALIAS) == 7

    loop_runner(main)


def test_a_restart_does_not_disturb_a_thread_that_uses_the_pool(
    own_postgres: PrivatePostgres, faulty: None
) -> None:
    before = ask("SELECT pg_backend_pid()", using=ALIAS)
    connections[ALIAS].close()
    assert django_loom.pool(ALIAS).statistics().idle == 1
    own_postgres.restart()
    assert ask("SELECT pg_backend_pid()", using=ALIAS) != before


# The server is down, or lets nobody in.


def test_a_server_that_is_down_is_an_error_each_time_until_it_is_up(
    loop_runner: LoopRunner, own_postgres: PrivatePostgres, faulty: None
) -> None:
    async def refused() -> None:
        with pytest.raises(OperationalError, match="refused") as caught:
            await aask("SELECT 1", using=ALIAS)
        assert_chained(caught.value)

    async def main() -> None:
        own_postgres.stop()
        try:
            await asyncio.gather(*(refused() for _ in range(10)))
            await refused()
            figures = django_loom.pool(ALIAS).statistics()
            assert (figures.size, figures.created, figures.lost) == (0, 0, 0)
        finally:
            own_postgres.start()
        assert await aask("SELECT 1", using=ALIAS) == 1

    loop_runner(main)


def test_a_server_that_is_down_is_an_error_in_a_thread(
    own_postgres: PrivatePostgres, faulty: None
) -> None:
    own_postgres.stop()
    try:
        for _ in range(5):
            with pytest.raises(OperationalError, match="refused") as caught:
                ask("SELECT 1", using=ALIAS)
            assert_chained(caught.value)
        assert_pool_is_whole()
    finally:
        own_postgres.start()
    assert ask("SELECT 1", using=ALIAS) == 1


@pytest.fixture
def secret_role(own_postgres: PrivatePostgres, admin: Admin) -> Iterator[str]:
    rules = own_postgres.folder / "data" / "pg_hba.conf"
    before = rules.read_text()
    # It is there where a test has killed the server before the end of the last one was on disk.
    admin("DROP ROLE IF EXISTS secret")
    admin("CREATE ROLE secret LOGIN PASSWORD 'right'")
    rules.write_text(f"host all secret 127.0.0.1/32 scram-sha-256\n{before}")
    admin("SELECT pg_reload_conf()")
    yield "secret"
    rules.write_text(before)
    admin("SELECT pg_reload_conf()")
    admin("DROP ROLE secret")


def test_a_wrong_password_is_an_error_and_takes_no_place(
    loop_runner: LoopRunner, own_postgres: PrivatePostgres, secret_role: str
) -> None:
    async def main() -> None:
        for _ in range(5):
            with pytest.raises(OperationalError, match="password authentication failed") as caught:
                await aask("SELECT 1", using=ALIAS)
            assert_chained(caught.value)
        assert django_loom.pool(ALIAS).statistics().size == 0

    with faulty_database(own_postgres, USER=secret_role, PASSWORD="wrong"):
        loop_runner(main)
    with faulty_database(own_postgres, USER=secret_role, PASSWORD="right"):
        assert loop_runner(aask("SELECT 7", using=ALIAS)) == 7


def test_a_server_with_too_many_connections_is_an_error_for_those_that_find_no_room(
    loop_runner: LoopRunner, own_postgres: PrivatePostgres, admin: Admin
) -> None:
    admin("DROP ROLE IF EXISTS few")
    admin("CREATE ROLE few LOGIN CONNECTION LIMIT 2")

    async def main() -> None:
        tasks = await run_slow(admin, 2)
        for _ in range(3):
            with pytest.raises(OperationalError, match="too many connections") as caught:
                await aask("SELECT 1", using=ALIAS)
            assert_chained(caught.value)
        assert django_loom.pool(ALIAS).statistics().used == 2
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert await aask("SELECT 1", using=ALIAS) == 1

    try:
        with faulty_database(own_postgres, USER="few", pool={"max_size": 5}):
            loop_runner(main)
    finally:
        admin("DROP ROLE few")


# A connection is killed.


def test_a_connection_killed_while_idle_is_replaced_without_an_error(
    loop_runner: LoopRunner, admin: Admin, faulty: None
) -> None:
    async def main() -> None:
        pids = await fill_pool(2)
        admin.terminate(*pids)
        assert await aask("SELECT pg_backend_pid()", using=ALIAS) not in pids
        assert await aask("SELECT pg_backend_pid()", using=ALIAS) not in pids

    loop_runner(main)
    assert django_loom.pool(ALIAS).statistics().lost == 1  # the other was not looked at


def test_a_connection_killed_while_its_query_runs(
    loop_runner: LoopRunner, admin: Admin, faulty: None
) -> None:
    async def main() -> None:
        (task,) = await run_slow(admin)
        admin.terminate(*admin.running())
        with pytest.raises(OperationalError, match="terminating connection") as caught:
            await task
        assert isinstance(caught.value.__cause__, psycopg.errors.AdminShutdown)
        assert await aask("SELECT 1", using=ALIAS) == 1

    loop_runner(main)
    figures = django_loom.pool(ALIAS).statistics()
    assert (figures.created, figures.lost, figures.idle) == (2, 1, 1)


def test_code_that_caught_the_error_can_go_on_after_its_next_wait(
    loop_runner: LoopRunner, admin: Admin, faulty: None
) -> None:
    def main() -> None:
        pid = ask("SELECT pg_backend_pid()", using=ALIAS)
        admin.terminate(pid)
        with pytest.raises((OperationalError, InterfaceError)):
            ask("SELECT 1", using=ALIAS)
        django_loom.await_(asyncio.sleep(0))
        assert ask("SELECT pg_backend_pid()", using=ALIAS) != pid

    loop_runner(django_loom.run_sync, main)


@pytest.mark.parametrize("side", ["sync", "async"])
@pytest.mark.parametrize("nested", [False, True], ids=["outermost", "savepoint"])
def test_a_connection_killed_in_a_transaction(
    loop_runner: LoopRunner, admin: Admin, faulty: None, table: None, side: str, nested: bool
) -> None:
    def kill_and_insert() -> None:
        admin.terminate(ask("SELECT pg_backend_pid()", using=ALIAS))
        insert(2)

    def sync_block() -> None:
        with transaction.atomic(ALIAS):
            insert(1)
            if not nested:
                kill_and_insert()
            with transaction.atomic(ALIAS):
                kill_and_insert()

    async def async_block() -> None:
        async with django_loom.atomic(ALIAS):
            await django_loom.run_sync(insert, 1)
            if not nested:
                await django_loom.run_sync(kill_and_insert)
            async with django_loom.atomic(ALIAS):
                await django_loom.run_sync(kill_and_insert)

    async def main() -> None:
        with pytest.raises(OperationalError) as caught:
            await (django_loom.run_sync(sync_block) if side == "sync" else async_block())
        assert_chained(caught.value)
        assert await aask("SELECT count(*) FROM entry", using=ALIAS) == 0

    loop_runner(main)
    figures = django_loom.pool(ALIAS).statistics()
    assert (figures.created, figures.lost, figures.idle) == (2, 1, 1)


@pytest.mark.parametrize("side", ["sync", "async"])
def test_a_commit_on_a_connection_that_was_killed_is_an_error(
    loop_runner: LoopRunner, admin: Admin, faulty: None, table: None, side: str
) -> None:
    def insert_and_kill() -> None:
        insert(1)
        admin.terminate(ask("SELECT pg_backend_pid()", using=ALIAS))
        with pytest.raises(OperationalError):
            insert(2)

    def sync_block() -> None:
        with transaction.atomic(ALIAS):
            insert_and_kill()

    async def async_block() -> None:
        async with django_loom.atomic(ALIAS):
            await django_loom.run_sync(insert_and_kill)

    async def main() -> None:
        with pytest.raises((OperationalError, InterfaceError)) as caught:
            await (django_loom.run_sync(sync_block) if side == "sync" else async_block())
        assert_chained(caught.value)
        assert await aask("SELECT count(*) FROM entry", using=ALIAS) == 0

    loop_runner(main)


def test_threads_and_a_loop_recover_together(
    loop_runner: LoopRunner, own_postgres: PrivatePostgres, admin: Admin, faulty: None
) -> None:
    results: list[int] = []

    def in_thread() -> None:
        try:
            results.append(ask("SELECT 7", using=ALIAS))
        finally:
            connections[ALIAS].close()

    async def main() -> None:
        await fill_pool(3)
        own_postgres.restart()
        threads = [threading.Thread(target=in_thread) for _ in range(5)]
        for thread in threads:
            thread.start()
        calls = [aask("SELECT 7", using=ALIAS) for _ in range(5)]
        results.extend(await asyncio.gather(*calls))
        for thread in threads:
            await asyncio.to_thread(thread.join)

    loop_runner(main)
    assert results == [7] * 10
