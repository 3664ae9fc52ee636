"""Receivers of `connection_created`, which use a connection while it is being opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

import pytest
from django.db import connections
from django.db.backends.signals import connection_created

import django_loom
from django_loom import run_sync
from django_loom.bridge import unit_of_work
from tests.db.support import ask, in_use, second_alias
from tests.loops import LoopRunner

pytestmark = pytest.mark.usefixtures("db_tables", "sqlite_tables")


@pytest.fixture(params=["default", "sqlite"])
def alias(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database whose pool has one place, so that a lost one is noticed."""
    options = {"pool": {"max_size": 1, "timeout": 10}}
    with second_alias(request.param, OPTIONS=options) as alias:
        yield alias


@contextmanager
def receiving(alias: str, receive: Callable[[], None]) -> Iterator[None]:
    def receiver(connection: Any, **kwargs: Any) -> None:
        if connection.alias == alias:
            receive()

    connection_created.connect(receiver)
    try:
        yield
    finally:
        connection_created.disconnect(receiver)


def test_a_pin_that_ends_there_leaves_the_connection_to_who_opens_it(alias: str) -> None:
    """In a library's thread, where the end of a pin else ends what the thread has leased."""
    found: list[Any] = []

    def pin() -> None:
        with django_loom.pin(alias):
            found.append(ask("SELECT 1", using=alias))
        found.append(in_use(alias))

    with receiving(alias, pin), ThreadPoolExecutor(1) as executor, unit_of_work():
        run = copy_context().run
        assert executor.submit(run, ask, "SELECT 2", using=alias).result() == 2
        assert found[:2] == [1, 1]
        assert in_use(alias) == 0
        assert executor.submit(run, ask, "SELECT 3", using=alias).result() == 3
    assert in_use(alias) == 0


class Refused(Exception):
    pass


def test_one_that_fails_loses_no_place_though_the_driver_fails_to_close(
    loop_runner: LoopRunner, alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = 0

    def refuse() -> None:
        engine: Any = connections[alias].engine
        close = engine.close

        def close_and_fail(connection: Any) -> None:
            nonlocal closed
            closed += 1
            close(connection)
            raise OSError("of the driver")

        monkeypatch.setattr(engine, "close", close_and_fail)
        raise Refused

    async def main() -> None:
        with receiving(alias, refuse):
            for _ in range(2):
                with pytest.raises(Refused):
                    await run_sync(ask, "SELECT 1", using=alias)
                monkeypatch.undo()
                assert in_use(alias) == 0
        assert await run_sync(ask, "SELECT 1", using=alias) == 1

    loop_runner(main)
    assert closed == 2
