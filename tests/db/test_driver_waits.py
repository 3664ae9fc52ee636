"""Code waits in the midst of what psycopg has begun, and while its connection is opened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import Any

import pytest
from django.db import connections, transaction

from django_loom import await_, run_sync
from django_loom.db.postgresql.base import DatabaseWrapper
from tests.db.support import in_use, let_others_run, second_alias
from tests.loops import LoopRunner
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables")
INSERT = "INSERT INTO testapp_author (name) VALUES (%s)"
Work = Callable[[str], Any]


@pytest.fixture
def alias() -> Iterator[str]:
    with second_alias(OPTIONS={"pool": {"max_size": 2, "timeout": 5}}) as alias:
        yield alias
        assert in_use(alias) == 0


def driver(alias: str) -> Any:
    connections[alias].ensure_connection()
    return connections[alias].connection


def count(alias: str) -> int:
    return Author.objects.using(alias).count()


def wait(alias: str) -> None:
    """Wait for another unit, which would see the rows if it had our connection."""

    async def another_unit() -> int:
        return await Context().run(asyncio.create_task, run_sync(count, alias))

    assert await_(another_unit()) == 0
    assert in_use(alias) == 1


def in_transaction(alias: str) -> None:
    with driver(alias).transaction():
        driver(alias).execute(INSERT, ["Ann"])
        wait(alias)
        Author.objects.using(alias).create(name="Ben")
        wait(alias)


def in_transaction_without_a_statement(alias: str) -> None:
    raw = driver(alias)
    with raw.transaction():
        wait(alias)
        raw.execute(INSERT, ["Ann"])
        wait(alias)
        assert count(alias) == 1


def in_savepoint(alias: str) -> None:
    with connections[alias].cursor() as cursor, cursor.connection.transaction():
        cursor.execute(INSERT, ["Ann"])
        wait(alias)
        with cursor.connection.transaction():
            wait(alias)
            cursor.execute(INSERT, ["Ben"])
            wait(alias)


def in_transaction_that_fails(alias: str) -> None:
    with pytest.raises(ZeroDivisionError), driver(alias).transaction():  # noqa: PT012
        Author.objects.using(alias).create(name="Ann")
        wait(alias)
        raise ZeroDivisionError


def in_pipeline(alias: str) -> None:
    raw = driver(alias)
    with raw.pipeline():
        wait(alias)
        raw.execute(INSERT, ["Ann"])
        wait(alias)
        raw.execute(INSERT, ["Ben"])


def in_stream(alias: str) -> None:
    numbers = []
    with connections[alias].cursor() as cursor:
        await_(let_others_run())
        assert in_use(alias) == 0  # the stream takes another
        for (number,) in cursor.stream("SELECT generate_series(1, 5)"):
            assert in_use(alias) == 1
            numbers.append(number)
            wait(alias)
    assert numbers == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("work", "rows"),
    [
        (in_transaction, 2),
        (in_transaction_without_a_statement, 1),
        (in_savepoint, 2),
        (in_transaction_that_fails, 0),
        (in_pipeline, 2),
        (in_stream, 0),
    ],
)
def test_the_connection_is_kept(loop_runner: LoopRunner, alias: str, work: Work, rows: int) -> None:
    async def main() -> None:
        await run_sync(work, alias)
        assert (await run_sync(count, alias), in_use(alias)) == (rows, 0)

    loop_runner(main)


def test_an_engine_that_waits_for_the_parameters_of_its_connection(
    loop_runner: LoopRunner, alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a password that another service gives out."""
    get_connection_params = DatabaseWrapper.get_connection_params
    waits = []

    def waiting(wrapper: Any) -> Any:
        waits.append(in_use(alias))
        await_(let_others_run())
        return get_connection_params(wrapper)

    def in_block(name: str) -> None:
        with transaction.atomic(alias):
            Author.objects.using(alias).create(name=name)
            assert connections[alias].in_atomic_block

    async def main() -> None:
        await asyncio.gather(*(run_sync(in_block, f"{n}") for n in range(6)))
        assert waits == [1, 2]
        assert (await run_sync(count, alias), in_use(alias)) == (6, 0)

    monkeypatch.setattr(DatabaseWrapper, "get_connection_params", waiting)
    loop_runner(main)
