"""What is changed on psycopg's connection object belongs to its unit as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import connections
from django.db.backends.signals import connection_created
from psycopg.rows import dict_row, tuple_row
from psycopg.types.numeric import IntDumper, IntLoader

import django_loom
from django_loom import run_sync
from django_loom.bridge import unit_of_work
from tests.db.support import aask, abackend_pid, second_alias
from tests.loops import LoopRunner

pytestmark = pytest.mark.usefixtures("db_tables")
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
