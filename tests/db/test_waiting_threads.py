"""Async code that plain code runs by async_to_sync() has its thread's connections and session."""

from __future__ import annotations

import asyncio
import contextvars
import io
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.handlers.wsgi import WSGIHandler
from django.db import IntegrityError, connections, transaction
from django.db.backends.signals import connection_created
from django.db.models.signals import pre_delete, pre_save
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

import django_loom
from django_loom import await_, run_sync
from django_loom.bridge import unit_of_work
from django_loom.db.scopes import scopes_in_context
from django_loom.exceptions import TransactionBusy
from tests.db.support import let_others_run, second_alias
from tests.polling import aeventually
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables", "sqlite_tables")
local = threading.local()
color: contextvars.ContextVar[str] = contextvars.ContextVar("color", default="none")
POOL = {"max_size": 3, "timeout": 2}
DATABASES = [
    pytest.param(("default", {}), id="postgresql"),
    pytest.param(("default", {"pool": POOL}), id="postgresql-pool"),
    pytest.param(("sqlite", {}), id="sqlite"),
    pytest.param(("sqlite", {"pool": POOL}), id="sqlite-pool"),
]


@pytest.fixture(params=DATABASES)
def alias(request: pytest.FixtureRequest) -> Iterator[str]:
    of, options = request.param
    with second_alias(of, OPTIONS=options) as alias:
        yield alias
        connections[alias].close()
        assert django_loom.pool(alias).statistics().used == 0


@pytest.fixture
def postgresql() -> Iterator[str]:
    with second_alias("default", OPTIONS={}) as alias:
        yield alias


def execute(alias: str, *statements: str) -> Any:
    with connections[alias].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else None


async def by_orm(alias: str, name: str) -> None:
    await Author.objects.using(alias).acreate(name=name)


async def by_run_sync(alias: str, name: str) -> None:
    await run_sync(Author.objects.using(alias).create, name=name)


async def by_sync_to_async(alias: str, name: str) -> None:
    await sync_to_async(Author.objects.using(alias).create)(name=name)


async def in_atomic(alias: str, name: str) -> None:
    async with django_loom.atomic(alias):
        await Author.objects.using(alias).acreate(name=name)


async def in_pin(alias: str, name: str) -> None:
    async with django_loom.pin(alias):
        await Author.objects.using(alias).acreate(name=name)


WRITES: list[Callable[[str, str], Awaitable[None]]] = [
    by_orm,
    by_run_sync,
    by_sync_to_async,
    in_atomic,
    in_pin,
]
each_write = pytest.mark.parametrize("write", WRITES)


async def all_ways(alias: str) -> None:
    """Write a row in each way, one after the other and gathered."""
    for write in WRITES:
        await write(alias, write.__name__)
    await asyncio.gather(*[write(alias, f"{write.__name__} gathered") for write in WRITES])


ALL_NAMES = sorted(f"{write.__name__}{how}" for write in WRITES for how in ("", " gathered"))


def names(alias: str) -> list[str]:
    return sorted(Author.objects.using(alias).values_list("name", flat=True))


def test_it_has_the_threads_connection_object(alias: str) -> None:
    own = connections[alias]
    own.tenant = "ann"  # type: ignore[attr-defined]
    seen = []

    def look(**kwargs: Any) -> None:
        seen.append(connections[alias] is own and own.tenant)  # type: ignore[attr-defined]

    pre_save.connect(look)
    try:
        async_to_sync(all_ways)(alias)
    finally:
        pre_save.disconnect(look)
    assert seen == ["ann"] * len(ALL_NAMES)
    assert names(alias) == ALL_NAMES


def test_it_has_the_threads_locals_and_the_tasks_variables(alias: str) -> None:
    seen = []

    def look(**kwargs: Any) -> None:
        seen.append((local.user, color.get(), threading.get_ident()))

    async def main() -> None:
        color.set("of the task")
        await all_ways(alias)

    local.user = "ann"
    pre_save.connect(look)
    try:
        async_to_sync(main)()
    finally:
        pre_save.disconnect(look)
        del local.user
    assert set(seen) == {("ann", "of the task", threading.get_ident())}


def test_it_has_the_threads_temporary_table(alias: str) -> None:
    execute(alias, "CREATE TEMPORARY TABLE testapp_author (id integer, name text, born date)")
    try:
        async_to_sync(insert_all)(alias)
        assert execute(alias, "SELECT count(*) FROM testapp_author") == [(6,)]
    finally:
        execute(alias, "DROP TABLE testapp_author")
    assert names(alias) == []


async def insert_all(alias: str) -> None:
    insert = "INSERT INTO testapp_author (name) VALUES ('x')"
    await run_sync(execute, alias, insert)
    await asyncio.gather(*[run_sync(execute, alias, insert) for _ in range(3)])
    async with django_loom.atomic(alias):
        await run_sync(execute, alias, insert)
    async with django_loom.pin(alias):
        await run_sync(execute, alias, insert)


def test_what_it_changes_in_the_session_stays_the_threads(alias: str) -> None:
    async def main() -> None:
        await run_sync(execute, alias, "CREATE TEMPORARY TABLE mine (n integer)")
        await run_sync(execute, alias, "INSERT INTO mine VALUES (7)")
        assert await run_sync(execute, alias, "SELECT n FROM mine") == [(7,)]

    async_to_sync(main)()
    assert execute(alias, "SELECT n FROM mine") == [(7,)]
    execute(alias, "DROP TABLE mine")


def test_it_writes_in_the_threads_transaction_without_autocommit(alias: str) -> None:
    transaction.set_autocommit(False, using=alias)
    try:
        for write in WRITES:
            if write is not in_atomic:  # which needs autocommit, as Django's own does
                async_to_sync(write)(alias, write.__name__)
        assert len(names(alias)) == len(WRITES) - 1
        transaction.rollback(using=alias)
        assert names(alias) == []
    finally:
        transaction.rollback(using=alias)
        transaction.set_autocommit(True, using=alias)


@each_write
def test_it_is_in_the_threads_block(alias: str, write: Callable[..., Awaitable[None]]) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic(alias):  # noqa: PT012
        async_to_sync(write)(alias, "undone")
        assert names(alias) == ["undone"]
        raise ZeroDivisionError
    assert names(alias) == []


def test_a_failure_harms_nothing(alias: str) -> None:
    async def main() -> None:
        await by_orm(alias, "once")
        for write in (by_orm, by_run_sync, in_atomic):
            with pytest.raises(IntegrityError):
                await write(alias, "once")
        await by_orm(alias, "after")

    async_to_sync(main)()
    assert names(alias) == ["after", "once"]


def test_a_statement_whose_task_is_cancelled_runs_to_its_end(alias: str) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def hold(**kwargs: Any) -> None:
        begun.set()
        goes_on.wait(10)

    async def main() -> None:
        task = asyncio.create_task(by_orm(alias, "cancelled"))
        await asyncio.to_thread(begun.wait)
        task.cancel()
        goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        pre_save.disconnect(hold)
        await by_orm(alias, "after")

    pre_save.connect(hold)
    try:
        async_to_sync(main)()
    finally:
        pre_save.disconnect(hold)
    assert names(alias) == ["after", "cancelled"]


def test_a_block_that_is_cancelled_is_undone(alias: str) -> None:
    async def block() -> None:
        async with django_loom.atomic(alias):
            await by_orm(alias, "undone")
            await asyncio.sleep(60)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(block(), 0.2)
        await by_orm(alias, "after")

    async_to_sync(main)()
    assert names(alias) == ["after"]


async def cancelled_while_it_connects(alias: str, times: int) -> None:
    """Cancel a task so often while its thread connects to enter a block."""
    begun, goes_on = threading.Event(), threading.Event()

    def hold(**kwargs: Any) -> None:
        begun.set()
        goes_on.wait(10)

    async def enter() -> None:
        async with django_loom.atomic(alias):
            raise AssertionError("it was cancelled")

    connection_created.connect(hold)
    try:
        task = asyncio.create_task(enter())
        await asyncio.to_thread(begun.wait)
        for _ in range(times):
            task.cancel()
            await let_others_run()
        goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    finally:
        connection_created.disconnect(hold)


@pytest.mark.parametrize("times", [1, 3])
def test_a_block_that_is_cancelled_while_its_thread_enters_it_is_left(
    alias: str, times: int
) -> None:
    """The thread can't be stopped, and its next statement would be in the block."""

    async def main() -> None:
        await cancelled_while_it_connects(alias, times)
        assert not connections[alias].in_atomic_block
        await by_orm(alias, "async")

    async_to_sync(main)()
    assert not connections[alias].in_atomic_block
    Author.objects.using(alias).create(name="sync")
    connections[alias].close()
    assert names(alias) == ["async", "sync"]


# Blocks of async code have the thread's one connection for themselves.


async def nothing(alias: str) -> None:
    """Begin with no block."""


async def a_block(alias: str) -> None:
    await in_atomic(alias, "before")


async def rows_in_a_block(alias: str) -> AsyncIterator[int]:
    async with django_loom.atomic(alias):
        await by_orm(alias, "undone")
        yield 1
        yield 2


async def a_left_block(alias: str) -> None:
    async for _ in rows_in_a_block(alias):
        break
    await by_orm(alias, "before")


@pytest.mark.parametrize("first", [nothing, a_block, a_left_block])
@each_write
def test_what_is_beside_a_block_waits_for_its_end(
    alias: str, write: Callable[..., Awaitable[None]], first: Callable[[str], Awaitable[None]]
) -> None:
    """But what the user's own sync_to_async() runs, which is in it, as in any thread."""
    ready, begun = asyncio.Event(), asyncio.Event()
    order: list[str] = []

    async def block() -> None:
        await ready.wait()
        async with django_loom.atomic(alias):
            await by_orm(alias, "undone")
            begun.set()
            await let_others_run()
            order.append("block")
            raise ZeroDivisionError

    async def beside() -> None:
        await first(alias)
        ready.set()
        await begun.wait()
        await write(alias, "beside")
        order.append("beside")

    async def main() -> None:
        failure, _ = await asyncio.gather(block(), beside(), return_exceptions=True)
        assert isinstance(failure, ZeroDivisionError)

    async_to_sync(main)()
    if write is not by_sync_to_async:
        assert order == ["block", "beside"]
        assert names(alias) == ([] if first is nothing else ["before"]) + ["beside"]


def test_blocks_come_one_after_the_other_and_nested_ones_too(alias: str) -> None:
    async def block(name: str, depth: int) -> None:
        async with django_loom.atomic(alias):
            await by_orm(alias, name)
            if depth:
                await asyncio.gather(
                    *[block(f"{name}{number}", depth - 1) for number in range(3)],
                    by_orm(alias, f"{name}x"),
                    return_exceptions=True,
                )
            if name.endswith("1"):
                raise ZeroDivisionError

    async def main() -> None:
        found = await asyncio.gather(*[block(f"{n}", 2) for n in range(3)], return_exceptions=True)
        assert [type(each) for each in found] == [type(None), ZeroDivisionError, type(None)]

    async_to_sync(main)()
    of_one = ["", "0", "00", "02", "0x", "2", "20", "22", "2x", "x"]
    assert names(alias) == sorted(f"{outer}{name}" for outer in "02" for name in of_one)


def test_a_call_that_waits_in_itself_goes_on_after_a_block(alias: str) -> None:
    async def main() -> None:
        begun, goes_on = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def call() -> None:
            loop.call_soon_threadsafe(begun.set)
            await_(goes_on.wait())
            Author.objects.using(alias).create(name="call")

        task = asyncio.create_task(run_sync(call))
        await begun.wait()
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            async with django_loom.atomic(alias):
                goes_on.set()
                await by_orm(alias, "undone")
                await let_others_run()
                raise ZeroDivisionError
        await task

    async_to_sync(main)()
    assert names(alias) == ["call"]


ONE_CONNECTION = [
    pytest.param("default", {"pool": POOL | {"max_size": 1}}, id="postgresql-pool"),
    pytest.param("sqlite", {"pool": POOL}, id="sqlite-pool"),
]


@pytest.mark.parametrize(("of", "options"), ONE_CONNECTION)
def test_a_call_that_waits_for_others_does_not_wait_for_a_block_that_waits_behind_it(
    of: str, options: dict[str, Any]
) -> None:
    """On PostgreSQL for the pool's only connection, on SQLite for its turn to write."""
    held, let_go = threading.Event(), threading.Event()

    async def hold() -> None:
        async with django_loom.atomic(alias):
            await by_orm(alias, "other")
            held.set()
            await asyncio.to_thread(let_go.wait)

    async def main() -> None:
        one = asyncio.create_task(by_orm(alias, "one"))
        await aeventually(lambda: waiting(alias) == 1)
        two = asyncio.create_task(in_atomic(alias, "two"))
        await let_others_run()
        let_go.set()
        await asyncio.gather(one, two)

    with second_alias(of, OPTIONS=options) as alias:
        other = threading.Thread(target=lambda: asyncio.run(hold()))
        other.start()
        try:
            assert held.wait(10)
            async_to_sync(main)()
        finally:
            let_go.set()
            other.join()
            connections[alias].close()
        assert names(alias) == ["one", "other", "two"]


def waiting(alias: str) -> int:
    writers = connections[alias].writers()  # type: ignore[attr-defined]
    pending = django_loom.pool(alias).statistics().pending_requests
    return pending + (0 if writers is None else len(writers._waiters))


def test_a_call_that_waits_for_its_turn_in_a_block_does_not_wait_for_an_inner_one_behind_it(
    alias: str,
) -> None:
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic(alias):
            held.set()
            assert let_go.wait(10)

    async def main() -> None:
        async with django_loom.atomic(alias):
            turn = scopes_in_context()[alias].mutex  # type: ignore[index]
            other = asyncio.create_task(sync_to_async(hold, thread_sensitive=False)())
            await aeventually(held.is_set)
            one = asyncio.create_task(by_orm(alias, "one"))
            await aeventually(lambda: len(turn._waiters) == 1)
            two = asyncio.create_task(in_atomic(alias, "two"))
            await let_others_run()
            let_go.set()
            await asyncio.gather(one, two, other)

    connections[alias].__dict__["pool_options"] = _impatient(alias, 2)
    async_to_sync(main)()
    assert names(alias) == ["one", "two"]


def test_who_waits_for_a_block_too_long_gets_an_error(postgresql: str) -> None:
    async def main() -> None:
        async with django_loom.atomic(postgresql):
            await by_orm(postgresql, "block")
            other = asyncio.create_task(by_orm(postgresql, "beside"), context=outside)
            with pytest.raises(TransactionBusy, match="async_to_sync"):
                await other

    connections[postgresql].__dict__["pool_options"] = _impatient(postgresql)
    outside = contextvars.copy_context()
    async_to_sync(main)()
    assert names(postgresql) == ["block"]


def _impatient(alias: str, timeout: float = 0.05) -> Any:
    return replace(connections[alias].pool_options, timeout=timeout)  # type: ignore[attr-defined]


def test_a_generator_that_is_left_in_its_block_harms_nobody(alias: str) -> None:
    async def main() -> None:
        async for _ in rows_in_a_block(alias):
            break
        await by_orm(alias, "after")

    async_to_sync(main)()
    assert names(alias) == ["after"]


def test_hooks_of_a_commit_run_after_the_block(alias: str) -> None:
    calls: list[Any] = []

    async def hook() -> None:
        calls.append(await Author.objects.using(alias).acount())

    async def main() -> None:
        async with django_loom.atomic(alias):
            await by_orm(alias, "block")
            transaction.on_commit(hook, using=alias)
            assert calls == []

    async_to_sync(main)()
    assert calls == [1]


# Nor does anything come into a transaction of synchronous code that waits.


async def in_durable(alias: str, name: str) -> None:
    def write() -> None:
        with transaction.atomic(alias, durable=True):
            Author.objects.using(alias).create(name=name)

    await run_sync(write)


class Undone:
    """Deletes "kept" in a transaction; waits for async code in it, which raises."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.began = asyncio.Event()

    async def body(self, **kwargs: Any) -> None:
        self.began.set()
        await let_others_run()
        for write in (by_orm, in_durable_not, by_sync_to_async, in_atomic):
            await write(self.alias, f"undone {write.__name__}")
        await asyncio.create_task(by_orm(self.alias, "undone by a task"))
        raise ZeroDivisionError

    async def by_async_receiver(self) -> None:
        author = await Author.objects.using(self.alias).aget(name="kept")
        pre_delete.connect(self.body)
        try:
            await author.adelete()
        finally:
            pre_delete.disconnect(self.body)

    async def in_block(self) -> None:
        def block() -> None:
            with transaction.atomic(self.alias):
                Author.objects.using(self.alias).filter(name="kept").delete()
                await_(self.body())

        await run_sync(block)

    async def without_autocommit(self) -> None:
        def call() -> None:
            transaction.set_autocommit(False, using=self.alias)
            try:
                Author.objects.using(self.alias).filter(name="kept").delete()
                await_(self.without_blocks())
            finally:
                transaction.rollback(using=self.alias)
                transaction.set_autocommit(True, using=self.alias)

        await run_sync(call)

    async def without_blocks(self) -> None:
        self.began.set()
        await let_others_run()
        await by_orm(self.alias, "undone")
        raise ZeroDivisionError


async def in_durable_not(alias: str, name: str) -> None:
    with pytest.raises(RuntimeError, match="durable"):
        await in_durable(alias, name)


HOWS = [Undone.by_async_receiver, Undone.in_block, Undone.without_autocommit]


@pytest.mark.parametrize("write", [*WRITES, in_durable])
@pytest.mark.parametrize("how", HOWS)
def test_what_is_beside_a_transaction_that_waits_is_not_in_it(
    alias: str,
    how: Callable[[Undone], Awaitable[None]],
    write: Callable[[str, str], Awaitable[None]],
) -> None:
    async def main() -> None:
        undone = Undone(alias)
        await by_orm(alias, "kept")

        async def beside() -> None:
            await undone.began.wait()
            await write(alias, "beside")

        failure, _ = await asyncio.gather(how(undone), beside(), return_exceptions=True)
        assert isinstance(failure, ZeroDivisionError)

    async_to_sync(main)()
    assert names(alias) == ["beside", "kept"]


def test_a_wrapper_of_statements_is_its_calls(alias: str) -> None:
    async def main() -> None:
        began = asyncio.Event()

        async def body() -> None:
            began.set()
            await let_others_run()
            await by_orm(alias, "of the call")

        def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            seen.extend(params)
            return execute(sql, params, many, context)

        def call() -> None:
            with connections[alias].execute_wrapper(count):
                await_(body())

        async def beside() -> None:
            await began.wait()
            await by_orm(alias, "beside")

        await asyncio.gather(run_sync(call), beside())

    seen: list[Any] = []
    async_to_sync(main)()
    assert "of the call" in seen
    assert "beside" not in seen


def test_a_transaction_of_a_statement_keeps_its_thread_too(postgresql: str) -> None:
    async def main() -> None:
        began = asyncio.Event()

        async def body() -> None:
            began.set()
            await let_others_run()

        def call() -> None:
            execute(postgresql, "BEGIN")
            Author.objects.using(postgresql).create(name="undone")
            await_(body())
            execute(postgresql, "ROLLBACK")

        async def beside() -> None:
            await began.wait()
            await by_orm(postgresql, "beside")

        await asyncio.gather(run_sync(call), beside())

    async_to_sync(main)()
    assert names(postgresql) == ["beside"]


def test_a_transaction_that_waits_is_undone_when_it_is_cancelled(alias: str) -> None:
    async def main() -> None:
        waits = asyncio.Event()

        async def body() -> None:
            waits.set()
            await asyncio.sleep(60)

        def call() -> None:
            with transaction.atomic(alias):
                Author.objects.using(alias).create(name="undone")
                await_(body())

        task = asyncio.create_task(run_sync(call))
        await waits.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await by_orm(alias, "after")

    async_to_sync(main)()
    assert names(alias) == ["after"]


def test_a_task_that_outlives_its_thread_ends_its_work_there(alias: str) -> None:
    """asyncio.run() → sync_to_async() → async_to_sync(), which starts a task."""

    async def main() -> None:
        receives, returns = asyncio.Event(), asyncio.Event()

        async def receiver(**kwargs: Any) -> None:
            receives.set()
            await returns.wait()
            await let_others_run()

        async def delete() -> None:
            author = await Author.objects.using(alias).acreate(name="deleted")
            await author.adelete()
            async with django_loom.atomic(alias):
                await by_orm(alias, "after")

        async def start() -> None:
            tasks.append(asyncio.create_task(delete()))
            await receives.wait()
            returns.set()

        tasks: list[asyncio.Task[None]] = []
        pre_delete.connect(receiver)
        try:
            await sync_to_async(lambda: async_to_sync(start)())()
            await tasks[0]
        finally:
            pre_delete.disconnect(receiver)
        await sync_to_async(lambda: connections[alias].close())()

    asyncio.run(main())
    assert names(alias) == ["after"]


# What is a unit stays one.


def test_a_unit_has_a_connection_of_its_own(alias: str) -> None:
    execute(alias, "CREATE TEMPORARY TABLE mine (n integer)")
    own = connections[alias]

    async def main() -> None:
        with unit_of_work():
            assert await run_sync(lambda: connections[alias]) is not own
            async with django_loom.atomic(alias):
                await by_orm(alias, "unit")

    async_to_sync(main)()
    assert names(alias) == ["unit"]


def test_gathered_calls_of_asyncio_run_are_at_the_same_time(postgresql: str) -> None:
    async def main() -> None:
        pids = await asyncio.gather(*[run_sync(sleep_and_tell) for _ in range(3)])
        assert len(set(pids)) == 3

    def sleep_and_tell() -> Any:
        return execute(postgresql, "SELECT pg_sleep(0.1)", "SELECT pg_backend_pid()")[0][0]

    asyncio.run(main())


# A site under WSGI.


def tenants(get_response: Any) -> Any:
    def middleware(request: HttpRequest) -> Any:
        execute(TENANT_ALIAS, "SET search_path TO tenant")
        local.user = "ann"
        if request.GET:
            transaction.set_autocommit(False, using=TENANT_ALIAS)
        try:
            return get_response(request)
        finally:
            del local.user
            if request.GET:
                transaction.rollback(using=TENANT_ALIAS)
                transaction.set_autocommit(True, using=TENANT_ALIAS)

    return middleware


TENANT_ALIAS = "default_again"


async def view(request: HttpRequest) -> HttpResponse:
    await all_ways(TENANT_ALIAS) if not request.GET else await by_orm(TENANT_ALIAS, "undone")
    return HttpResponse("done")


urlpatterns = [path("", view)]


@pytest.mark.parametrize("options", [{}, {"pool": POOL}], ids=["plain", "pool"])
def test_an_async_view_under_wsgi_writes_for_its_tenant(options: dict[str, Any]) -> None:
    def answer(query: str) -> bytes:
        environ = {
            "REQUEST_METHOD": "GET",
            "QUERY_STRING": query,
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "80",
            "wsgi.input": io.BytesIO(),
            "wsgi.url_scheme": "http",
        }
        response = application(environ, lambda status, headers: None)
        try:
            return b"".join(response)
        finally:
            response.close()

    def stamp(instance: Author, **kwargs: Any) -> None:
        instance.name += f" by {getattr(local, 'user', None)}"

    settings = override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[f"{__name__}.tenants"])
    with second_alias("default", OPTIONS=options) as alias, settings:
        execute(
            alias,
            "CREATE SCHEMA tenant",
            "CREATE TABLE tenant.testapp_author (LIKE public.testapp_author INCLUDING ALL)",
        )
        pre_save.connect(stamp)
        try:
            application = WSGIHandler()
            assert answer("") == answer("undone=1") == b"done"
            of_tenant = execute(alias, "SELECT name FROM tenant.testapp_author ORDER BY 1")
            assert sorted(name for (name,) in of_tenant) == [f"{name} by ann" for name in ALL_NAMES]
            assert execute(alias, "SELECT count(*) FROM public.testapp_author") == [(0,)]
        finally:
            pre_save.disconnect(stamp)
            execute(alias, "RESET search_path", "DROP SCHEMA tenant CASCADE")
            connections[alias].close()
