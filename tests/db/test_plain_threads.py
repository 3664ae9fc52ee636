"""Code outside loops: Django's own behaviour, and the pool where OPTIONS asks for it."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import (
    DatabaseError,
    close_old_connections,
    connection,
    connections,
    transaction,
)

import django_loom
from django_loom.db import registry, serving
from tests.db.faults import Admin
from tests.db.support import TAG, aask, abackend_pid, ask, backend_pid, in_use, second_alias
from tests.loops import LoopRunner
from tests.polling import aeventually, eventually
from tests.services import Postgres
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables")


def in_thread(function: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """Run in a new thread, which has ended when this returns."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(function, *args, **named).result()


@pytest.fixture
def plain() -> Iterator[str]:
    """The alias of a database without OPTIONS["pool"]."""
    with second_alias(OPTIONS={}, CONN_MAX_AGE=None) as alias:
        yield alias
        assert django_loom.pool(alias).statistics().uses == 0


def server_knows(pid: int) -> bool:
    return bool(ask("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", pid))


def test_without_a_pool_each_thread_has_its_own_lasting_connection(plain: str) -> None:
    def twice() -> list[int]:
        return [backend_pid(plain), backend_pid(plain)]

    mine, theirs = twice(), in_thread(twice)
    assert len(set(mine)) == len(set(theirs)) == 1
    assert set(mine) != set(theirs)
    assert connections[plain] is connections[plain]


def test_without_a_pool_closing_opens_another(plain: str) -> None:
    pid = backend_pid(plain)
    connections[plain].close()
    assert backend_pid(plain) != pid


def test_without_a_pool_conn_max_age_is_obeyed(plain: str) -> None:
    pid = backend_pid(plain)
    close_old_connections()
    assert backend_pid(plain) == pid
    connections[plain].close_at = time.monotonic() - 1
    close_old_connections()
    assert backend_pid(plain) != pid


def test_without_a_pool_transactions_are_djangos(plain: str) -> None:
    authors = Author.objects.using(plain)
    calls: list[str] = []
    with transaction.atomic(plain):
        authors.create(name="kept")
        transaction.on_commit(lambda: calls.append("committed"), using=plain)
        with pytest.raises(ZeroDivisionError), transaction.atomic(plain):
            authors.create(name=f"{1 / 0}")
        assert calls == []
    assert calls == ["committed"]
    assert [author.name for author in authors.iterator()] == ["kept"]


def test_a_connection_object_of_another_thread_is_refused() -> None:
    mine = connections["default"]
    with pytest.raises(DatabaseError, match="created in thread"):
        in_thread(lambda: mine.cursor())


def test_with_a_pool_a_thread_holds_its_lease_until_it_closes() -> None:
    pid = backend_pid()
    assert in_use() == 1
    assert backend_pid() == pid
    connection.close()
    assert in_use() == 0
    assert backend_pid() == pid


def test_with_a_pool_the_end_of_a_request_gives_the_lease_back() -> None:
    backend_pid()
    close_old_connections()
    assert in_use() == 0


def test_with_a_pool_threads_and_loops_share_the_connections(loop_runner: LoopRunner) -> None:
    def use() -> int:
        try:
            return backend_pid()
        finally:
            connection.close()

    registry.close("default")
    pids = {in_thread(use), loop_runner(abackend_pid), use()}
    assert len(pids) == 1


def test_a_thread_that_ends_gives_its_lease_back() -> None:
    pid = in_thread(backend_pid)
    assert in_use() == 0
    assert backend_pid() == pid


def test_a_thread_that_ends_in_a_transaction_leaves_no_lease() -> None:
    def begin() -> int:
        transaction.set_autocommit(False)
        Author.objects.create(name="never committed")
        return backend_pid()

    pid = in_thread(begin)
    assert in_use() == 0
    eventually(lambda: not server_knows(pid))
    assert Author.objects.count() == 0


def enter_block() -> None:
    transaction.atomic().__enter__()
    Author.objects.create(name="never committed")


def enter_two_blocks() -> None:
    enter_block()
    transaction.atomic().__enter__()


def begin_generator(kept: list[Any]) -> None:
    def generator() -> Iterator[None]:
        with transaction.atomic():
            Author.objects.create(name="never committed")
            yield

    kept.append(generator())
    next(kept[-1])


def change_session_and_enter() -> None:
    ask("SELECT set_config('loom.tag', 'x', false)")
    enter_block()


def enter_below_async_code() -> None:
    async def main() -> None:
        await django_loom.atomic().__aenter__()
        await Author.objects.acreate(name="never committed")

    async_to_sync(main)()


@pytest.mark.parametrize("serves", [False, True], ids=["", "serving"])
@pytest.mark.parametrize(
    "begin",
    [enter_block, enter_two_blocks, begin_generator, change_session_and_enter],
)
def test_a_thread_that_ends_in_a_block_leaves_no_lease(
    loop_runner: LoopRunner, begin: Callable[..., None], serves: bool
) -> None:
    kept: list[Any] = []

    async def main() -> None:
        if serves:
            serving.begin(asyncio.get_running_loop())
        in_thread(begin, *([kept] if begin is begin_generator else []))
        await aeventually(lambda: in_use() == 0)

    loop_runner(main)
    with transaction.atomic():
        Author.objects.create(name="kept")
        kept.clear()  # its block has ended, and not the one that is open here
    assert [author.name for author in Author.objects.all()] == ["kept"]


def test_a_thread_that_ends_in_a_block_of_async_code_leaves_no_lease() -> None:
    in_thread(enter_below_async_code)
    eventually(lambda: in_use() == 0)
    assert Author.objects.count() == 0


@pytest.mark.parametrize("function", [enter_block, change_session_and_enter])
def test_a_function_of_async_code_that_leaves_a_block_open_leaves_no_lease(
    function: Callable[[], None],
) -> None:
    """Its thread ends with the loop."""
    asyncio.run(asyncio.to_thread(function))
    eventually(lambda: in_use() == 0)
    assert Author.objects.count() == 0


def test_a_thread_ends_in_a_block_while_another_one_is_in_a_statement_there(
    postgres: Postgres,
) -> None:
    """The connection goes when the statement has ended."""
    admin, waits = Admin(postgres), threading.Event()
    others: list[Any] = []

    def first() -> None:
        enter_block()
        context = copy_context()
        other = ThreadPoolExecutor(1)
        others.append(other)
        others.append(other.submit(context.run, ask, "SELECT 4711 FROM pg_sleep(0.3)"))
        eventually(admin.running)
        waits.set()

    in_thread(first)
    assert waits.is_set()
    assert others[1].result() == 4711
    eventually(lambda: in_use() == 0)
    others[0].shutdown()
    assert Author.objects.count() == 0


def test_a_connection_that_others_share_outlives_its_thread_in_a_block() -> None:
    lent: list[Any] = []

    def lend() -> None:
        wrapper: Any = connections["default"]
        wrapper.inc_thread_sharing()
        enter_block()
        lent.extend([wrapper, wrapper.present_lease()])

    in_thread(lend)
    wrapper, lease = lent
    assert in_use() == 1
    assert lease.scopes
    wrapper.dec_thread_sharing()
    wrapper.thread_ends(lease)
    assert in_use() == 0


def test_without_a_pool_a_thread_that_ends_closes_its_connection(plain: str) -> None:
    pid = in_thread(backend_pid, plain)
    eventually(lambda: not server_knows(pid))


def test_a_connection_that_was_lent_to_a_thread_outlives_it(plain: str) -> None:
    lent = connections[plain]
    pid = backend_pid(plain)

    def borrow() -> None:
        connections[plain] = lent

    in_thread(borrow)
    gc.collect()
    assert backend_pid(plain) == pid


@pytest.mark.parametrize("sensitive", [True, False], ids=["sensitive", "free"])
def test_threads_of_async_code_hold_nothing_between_their_functions(
    loop_runner: LoopRunner, sensitive: bool
) -> None:
    async def main() -> None:
        await sync_to_async(backend_pid, thread_sensitive=sensitive)()
        assert in_use() == 0

    loop_runner(main)


def test_threads_of_async_code_keep_what_a_transaction_needs(loop_runner: LoopRunner) -> None:
    block = transaction.atomic()

    def begin() -> int:
        block.__enter__()
        return backend_pid()

    def end() -> int:
        pid = backend_pid()
        block.__exit__(None, None, None)
        return pid

    async def main() -> None:
        pid = await sync_to_async(begin)()
        assert in_use() == 1
        assert await sync_to_async(end)() == pid
        assert in_use() == 0

    loop_runner(main)


# Functions that async code runs outside a unit: `asyncio.run()` of a command, no request.

each_place = pytest.mark.parametrize("serves", [False, True], ids=["command", "serving"])


async def call(serves: bool, function: Callable[..., Any], *args: Any) -> Any:
    """Run a function in the one thread that `sync_to_async()` has for all."""
    if serves:
        serving.begin(asyncio.get_running_loop())
    return await sync_to_async(function)(*args)


@each_place
@pytest.mark.parametrize("is_committed", [True, False])
def test_a_transaction_without_autocommit_lasts_from_function_to_function(
    loop_runner: LoopRunner, is_committed: bool, serves: bool
) -> None:
    async def main() -> None:
        await call(serves, transaction.set_autocommit, False)
        await call(serves, ask, "INSERT INTO testapp_author (name) VALUES ('Ann') RETURNING id")
        assert in_use() == 1
        await call(serves, transaction.commit if is_committed else transaction.rollback)
        await call(serves, transaction.set_autocommit, True)
        assert in_use() == 0

    loop_runner(main)
    assert Author.objects.count() == is_committed


@each_place
def test_a_transaction_that_a_statement_has_begun_lasts_from_function_to_function(
    loop_runner: LoopRunner, serves: bool
) -> None:
    def execute(sql: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql)

    async def main() -> None:
        await call(serves, execute, "BEGIN")
        await call(serves, execute, "INSERT INTO testapp_author (name) VALUES ('Ann')")
        await call(serves, execute, "ROLLBACK")
        assert in_use() == 0

    loop_runner(main)
    assert Author.objects.count() == 0


@each_place
def test_a_changed_session_lasts_from_function_to_function(
    loop_runner: LoopRunner, serves: bool
) -> None:
    async def main() -> None:
        await call(serves, ask, "SELECT set_config('loom.tag', 'x', false)")
        await call(serves, ask, "SELECT pg_advisory_lock(4711)")
        assert in_use() == 1
        assert await call(serves, ask, TAG) == "x"
        assert await aask(TAG) in (None, "")
        assert await call(serves, ask, "SELECT pg_advisory_unlock(4711)")
        await call(serves, connections.close_all)
        assert in_use() == 0
        assert await call(serves, ask, TAG) in (None, "")
        assert in_use() == 0

    loop_runner(main)


def test_per_unit_each_session_of_a_function_lasts(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        pid = await call(False, backend_pid, alias)
        assert await call(False, backend_pid, alias) == pid
        assert in_use(alias) == 1
        await call(False, connections.close_all)
        assert in_use(alias) == 0

    options = {"pool": {"max_size": 1, "per_unit": True}}
    with second_alias(name=f"per_unit_{loop_runner.kind}", OPTIONS=options) as alias:
        loop_runner(main)


def write(name: str) -> None:
    Author.objects.create(name=name)


# While async code reads a server-side cursor: it has the cursor's connection, they the thread's.


@each_place
def test_functions_in_a_readers_body_have_their_threads_session(
    loop_runner: LoopRunner, serves: bool
) -> None:
    async def main() -> None:
        await Author.objects.abulk_create([Author(name=f"{number}") for number in range(3)])
        await call(serves, transaction.set_autocommit, False)
        async for author in Author.objects.aiterator(chunk_size=1):
            await call(serves, write, f"undone {author.pk}")
        await call(serves, transaction.rollback)
        await call(serves, transaction.set_autocommit, True)
        await call(serves, ask, "SELECT set_config('loom.tag', 'x', false)")
        async for _ in Author.objects.aiterator(chunk_size=1):
            assert await call(serves, ask, TAG) == "x"
            break
        assert await call(serves, ask, TAG) == "x"
        await call(serves, connections.close_all)
        assert await Author.objects.acount() == 3

    loop_runner(main)


@each_place
def test_a_block_that_functions_enter_and_leave_in_a_readers_body_is_whole(
    loop_runner: LoopRunner, serves: bool
) -> None:
    async def block(name: str, *exc: Any) -> None:
        entered = transaction.atomic()
        await call(serves, entered.__enter__)
        await call(serves, write, name)
        await call(serves, entered.__exit__, *(exc or (None, None, None)))

    async def main() -> None:
        await Author.objects.abulk_create([Author(name=f"{number}") for number in range(3)])
        async for author in Author.objects.order_by("pk").aiterator(chunk_size=1):
            await block(f"{author.name} kept")
            await block("undone", ValueError, ValueError(), None)
            if author.name == "1":
                break
        await block("undone", ValueError, ValueError(), None)
        found = [each.name async for each in Author.objects.filter(name__contains="k")]
        assert sorted(found) == ["0 kept", "1 kept"]
        assert await Author.objects.acount() == 5

    loop_runner(main)
    eventually(lambda: in_use() == 0)


def test_a_session_of_a_function_ends_with_its_thread() -> None:
    asyncio.run(asyncio.to_thread(ask, "SELECT set_config('loom.tag', 'x', false)"))
    eventually(lambda: in_use() == 0)
    assert ask(TAG) in (None, "")
    assert not [each for each in threading.enumerate() if each.name.startswith("Dummy")]


def test_a_thread_waits_for_a_lease_of_a_loop_and_the_other_way_round(
    loop_runner: LoopRunner,
) -> None:
    with second_alias(OPTIONS={"pool": {"max_size": 1}}) as alias:
        pool = django_loom.pool(alias)

        def use() -> int:
            try:
                return backend_pid(alias)
            finally:
                connections[alias].close()

        async def main() -> None:
            async with django_loom.atomic(alias):
                pid = await abackend_pid(alias)
                thread = asyncio.get_running_loop().run_in_executor(None, use)
                await aeventually(lambda: pool.statistics().pending_requests == 1)
            assert await thread == pid

        loop_runner(main)

        def wait_and_use() -> None:
            assert loop_runner(abackend_pid, alias) == pid

        pid = backend_pid(alias)
        thread = threading.Thread(target=wait_and_use)
        thread.start()
        eventually(lambda: pool.statistics().pending_requests == 1)
        connections[alias].close()
        thread.join()
        assert pool.statistics().waits == 2


def test_pools_survive_their_loop(loop_runner: LoopRunner) -> None:
    """A connection is bound to no loop: the next one goes on with it."""
    registry.close("default")
    pids = {loop_runner(abackend_pid) for _ in range(3)}
    assert len(pids) == 1
    assert django_loom.pool("default").statistics().created == 1


def test_two_loops_in_two_threads_share_a_pool_at_the_same_time() -> None:
    with second_alias(OPTIONS={"pool": {"max_size": 1, "timeout": 30}}) as alias:
        pool = django_loom.pool(alias)
        pids: list[int] = []
        errors: list[BaseException] = []

        async def work() -> None:
            for _ in range(10):
                async with django_loom.atomic(alias):
                    pids.append(await abackend_pid(alias))
                    await asyncio.sleep(0)

        def run_loop() -> None:
            try:
                asyncio.run(work())
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=run_loop) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert len(pids) == 20
        assert len(set(pids)) == 1
        assert (pool.statistics().used, pool.statistics().created) == (0, 1)


@pytest.mark.parametrize("checks", [True, False])
def test_health_checks_are_made_at_each_lease_if_asked_for(
    loop_runner: LoopRunner, monkeypatch: pytest.MonkeyPatch, checks: bool
) -> None:
    made: list[str] = []

    async def main() -> None:
        for _ in range(3):
            await abackend_pid(alias)

    with second_alias(CONN_HEALTH_CHECKS=checks) as alias:
        wrapper = type(connections[alias])
        check = wrapper.is_usable
        monkeypatch.setattr(wrapper, "is_usable", lambda it: made.append(it.alias) or check(it))
        loop_runner(main)
        # The first call opens the connection: a new one needs no check.
        assert made == [alias] * (2 if checks else 0)


def test_a_connection_that_fails_its_health_check_is_replaced(
    loop_runner: LoopRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        pid = await abackend_pid(alias)
        monkeypatch.setattr(type(connections[alias]), "is_usable", lambda it: False)
        assert await abackend_pid(alias) != pid
        assert django_loom.pool(alias).statistics().lost == 1
        assert in_use(alias) == 0

    with second_alias(CONN_HEALTH_CHECKS=True) as alias:
        loop_runner(main)


def test_a_query_after_the_pool_was_closed_opens_another(loop_runner: LoopRunner) -> None:
    before = django_loom.pool()
    loop_runner(Author.objects.acount)
    before.close()
    assert loop_runner(Author.objects.acount) == 0
    assert django_loom.pool() is not before
    assert before.statistics().idle == 0


def made_up_threads() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if isinstance(each, threading._DummyThread)}


def test_a_thread_that_ends_with_a_changed_session_leaves_no_thread_behind() -> None:
    """threading makes one up for code that asks for its own where that has ended."""

    def change() -> None:
        with connections[alias].cursor() as cursor:
            cursor.execute("SET loom.tag = 'changed'")

    before = made_up_threads()
    with second_alias(OPTIONS={"pool": {"max_size": 1}}) as alias:
        in_thread(change)
        eventually(lambda: in_use(alias) == 0)
        assert made_up_threads() <= before  # not later: a new thread takes its place
        assert in_thread(ask, "SELECT current_setting('loom.tag', true)", using=alias) in (None, "")
