"""What is changed on psycopg's connection object belongs to its unit as well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import connections, transaction
from django.db.backends.signals import connection_created
from psycopg.rows import dict_row, tuple_row
from psycopg.types.numeric import IntDumper, IntLoader

import django_loom
from django_loom import run_sync
from django_loom.bridge import unit_of_work
from tests.db.support import aask, abackend_pid, second_alias
from tests.loops import LoopRunner
from tests.testapp.models import Author

# What is noted of psycopg's object; how it is reset is in test_session_reset.py.
pytestmark = [pytest.mark.usefixtures("db_tables"), pytest.mark.one_loop]
ONE = {"pool": {"max_size": 1}}


def driver(using: str) -> Any:
    connections[using].ensure_connection()
    return connections[using].connection


def ignore(message: Any) -> None:
    """Handle what the server says."""


class OtherCursor(psycopg.ClientCursor[Any]):
    """A cursor of the user's."""


class OtherServerCursor(psycopg.ServerCursor[Any]):
    """A server-side cursor of the user's."""


class OtherLoader(IntLoader):
    def load(self, data: Any) -> Any:
        return "another's"


class OtherDumper(IntDumper):
    def dump(self, obj: Any) -> bytes:
        return b"4711"


CHANGES: dict[str, Callable[[Any], None]] = {
    "row_factory": lambda raw: setattr(raw, "row_factory", dict_row),
    "cursor_factory": lambda raw: setattr(raw, "cursor_factory", OtherCursor),
    "server_cursor_factory": lambda raw: setattr(raw, "server_cursor_factory", OtherServerCursor),
    "prepare_threshold": lambda raw: setattr(raw, "prepare_threshold", 0),
    "prepared_max": lambda raw: setattr(raw, "prepared_max", None),
    "isolation_level": lambda raw: setattr(raw, "isolation_level", 4),
    "read_only": lambda raw: setattr(raw, "read_only", True),
    "deferrable": lambda raw: setattr(raw, "deferrable", True),
    "notice handler": lambda raw: raw.add_notice_handler(ignore),
    "notify handler": lambda raw: raw.add_notify_handler(ignore),
    "loader": lambda raw: raw.adapters.register_loader("int4", OtherLoader),
    "dumper": lambda raw: raw.adapters.register_dumper(int, OtherDumper),
}


def state(using: str) -> dict[str, Any]:
    """All that the changes change."""
    raw = driver(using)
    attributes = list(CHANGES)[:8]
    return {
        **{name: getattr(raw, name) for name in attributes},
        "notice": list(raw._notice_handlers),
        "notify": list(raw._notify_handlers),
        "loader": raw.adapters.get_loader(23, psycopg.pq.Format.TEXT),
        "dumper": raw.adapters.get_dumper(int, psycopg.adapt.PyFormat.TEXT),
    }


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_change_of_the_driver_pins_it_and_is_undone(
    loop_runner: LoopRunner, change: Callable[[Any], None]
) -> None:
    async def main() -> None:
        with second_alias(OPTIONS=ONE) as alias:
            before, pid = await run_sync(state, alias), await abackend_pid(alias)
            with unit_of_work():
                await run_sync(lambda: change(driver(alias)))
                assert django_loom.pool(alias).statistics().pinned == 1
                changed = await run_sync(state, alias)
                assert changed != before
            assert await run_sync(state, alias) == before
            assert await abackend_pid(alias) == pid
            with unit_of_work():  # noted again
                await run_sync(lambda: change(driver(alias)))
                assert await run_sync(state, alias) == changed
            assert await run_sync(state, alias) == before

    loop_runner(main)


def test_what_is_put_back_pins_nothing(loop_runner: LoopRunner) -> None:
    def ask(alias: str) -> Any:
        raw = driver(alias)
        raw.row_factory = dict_row
        try:
            return raw.execute("SELECT 1 AS one").fetchall()
        finally:
            raw.row_factory = tuple_row

    async def main() -> None:
        with second_alias(OPTIONS=ONE) as alias, unit_of_work():
            assert await run_sync(ask, alias) == [{"one": 1}]
            assert django_loom.pool(alias).statistics().used == 0

    loop_runner(main)


def test_receivers_of_connection_created_find_the_object_as_it_was_opened(
    loop_runner: LoopRunner,
) -> None:
    def receiver(**kwargs: Any) -> None:
        raw = kwargs["connection"].connection
        raw.add_notice_handler(ignore)
        raw.adapters.register_loader("int4", OtherLoader)
        raw.cursor_factory = OtherCursor

    async def main() -> None:
        with second_alias(OPTIONS=ONE) as alias:
            before = await run_sync(state, alias)
            assert before["notice"] == [ignore]
            for _ in range(3):
                with unit_of_work():
                    await run_sync(lambda: setattr(driver(alias), "prepare_threshold", 0))
                assert await run_sync(state, alias) == before
                assert await aask("SELECT 1", using=alias) == "another's"
            assert django_loom.pool(alias).statistics().pinned == 0

    connection_created.connect(receiver)
    try:
        loop_runner(main)
    finally:
        connection_created.disconnect(receiver)


def test_the_driver_knows_of_no_prepared_query_after_a_reset(loop_runner: LoopRunner) -> None:
    """It would run one that the server has forgotten."""
    options = {**ONE, "prepare_threshold": 1, "server_side_binding": True}

    async def main() -> None:
        with second_alias(OPTIONS=options) as alias:
            for number in range(4):
                with unit_of_work():
                    await aask("SELECT pg_advisory_lock(%s)", number, using=alias)
                    for _ in range(number):
                        assert await aask("SELECT %s::text", "a", using=alias) == "a"

    loop_runner(main)


def test_notifications_of_another_unit_are_forgotten(loop_runner: LoopRunner) -> None:
    def listen(alias: str) -> list[str]:
        driver(alias).execute("LISTEN news")
        return [message.payload for message in driver(alias).notifies(timeout=0)]

    async def main() -> None:
        with second_alias(OPTIONS=ONE) as alias:
            with unit_of_work():
                await run_sync(listen, alias)
                await run_sync(lambda: driver(alias).execute("NOTIFY news, 'secret'"))
            with unit_of_work():
                assert await run_sync(listen, alias) == []

    loop_runner(main)


# A cursor WITH HOLD, of which no text of a query tells, stays in the session.


class HoldingCursor(psycopg.ServerCursor[Any]):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "withhold": True})


def hold(raw: Any) -> Any:
    return raw.cursor("report", withhold=True)


def hold_by_factory(raw: Any) -> Any:
    raw.server_cursor_factory = HoldingCursor
    try:
        return raw.cursor("report")
    finally:
        raw.server_cursor_factory = psycopg.ServerCursor


def open_report(make: Callable[[Any], Any], alias: str) -> int:
    cursor = make(driver(alias))
    cursor.execute("SELECT generate_series(1, 3)")
    row: int = cursor.fetchone()[0]
    cursor._closed = True  # not in the server; psycopg warns of what is left
    return row


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    return await asyncio.to_thread(function, *args)


@pytest.mark.parametrize("make", [hold, hold_by_factory])
@pytest.mark.parametrize("run", [run_sync, in_thread])
@pytest.mark.parametrize("server_side_binding", [False, True])
def test_a_cursor_with_hold_is_the_units(
    loop_runner: LoopRunner,
    make: Callable[[Any], Any],
    run: Callable[..., Any],
    server_side_binding: bool,
) -> None:
    cursors = "SELECT count(*) FROM pg_cursors WHERE name = 'report'"
    options = {**ONE, "server_side_binding": server_side_binding}

    async def main() -> None:
        with second_alias(OPTIONS=options) as alias:
            pid = await abackend_pid(alias)
            for _ in range(2):
                with unit_of_work():
                    assert await run(open_report, make, alias) == 1
                    assert django_loom.pool(alias).statistics().pinned == 1
                    assert await aask("FETCH report", using=alias) == 2
                assert await aask(cursors, using=alias) == 0
            assert await abackend_pid(alias) == pid

    loop_runner(main)


@pytest.mark.parametrize("server_side_binding", [False, True])
def test_a_cursor_of_an_iterator_pins_nothing(
    loop_runner: LoopRunner, server_side_binding: bool
) -> None:
    """It is WITH HOLD outside a transaction, and keeps its connection itself."""

    def half_read(alias: str) -> None:
        rows = Author.objects.using(alias).iterator(chunk_size=1)
        next(rows)
        statistics = django_loom.pool(alias).statistics()
        assert (statistics.used, statistics.pinned) == (1, 0)
        rows.close()

    async def main() -> None:
        with second_alias(OPTIONS={**ONE, "server_side_binding": server_side_binding}) as alias:
            for name in "ab":
                await Author.objects.using(alias).acreate(name=name)
            with unit_of_work():
                await run_sync(half_read, alias)
                assert django_loom.pool(alias).statistics().pinned == 0
                assert django_loom.pool(alias).statistics().used == 0

    loop_runner(main)


def test_a_named_cursor_without_hold_pins_nothing(loop_runner: LoopRunner) -> None:
    def read(alias: str) -> Any:
        with transaction.atomic(alias):
            return open_report(lambda raw: raw.cursor("report"), alias)

    async def main() -> None:
        with second_alias(OPTIONS=ONE) as alias, unit_of_work():
            assert await run_sync(read, alias) == 1
            assert django_loom.pool(alias).statistics().used == 0

    loop_runner(main)
