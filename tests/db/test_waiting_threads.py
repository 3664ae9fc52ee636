"""Async code that plain code runs by async_to_sync() has its thread's connections and session."""

from __future__ import annotations

import asyncio
import contextvars
import io
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.handlers.wsgi import WSGIHandler
from django.db import IntegrityError, connections, transaction
from django.db.backends.signals import connection_created
from django.db.models.signals import pre_save
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

import django_loom
from django_loom import run_sync
from django_loom.bridge import unit_of_work
from tests.db.support import let_others_run, second_alias
from tests.db.waiting_threads import (
    ALL_NAMES,
    DATABASES,
    POOL,
    WRITES,
    all_ways,
    by_orm,
    by_run_sync,
    each_write,
    execute,
    in_atomic,
    names,
    on_database,
)
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables", "sqlite_tables")
local = threading.local()
color: contextvars.ContextVar[str] = contextvars.ContextVar("color", default="none")


@pytest.fixture(params=DATABASES)
def alias(request: pytest.FixtureRequest) -> Iterator[str]:
    with on_database(*request.param) as alias:
        yield alias


@pytest.fixture
def postgresql() -> Iterator[str]:
    with second_alias("default", OPTIONS={}) as alias:
        yield alias


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
