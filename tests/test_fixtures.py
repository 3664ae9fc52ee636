"""The tests' own tools find what they should find."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from django.conf import settings

from tests.databases import PostgresTables
from tests.loops import LoopRunner
from tests.services import Postgres, parse


def test_a_result_comes_back_from_a_function_or_a_coroutine(loop_runner: LoopRunner) -> None:
    async def double(number: int) -> int:
        return number * 2

    assert loop_runner(double, 2) == loop_runner(double(2)) == 4


def test_an_error_that_only_the_loop_sees_fails_the_test(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)

    with pytest.raises(pytest.fail.Exception, match="ZeroDivisionError"):
        loop_runner(main)


@pytest.mark.timeout(0.2)
def test_a_coroutine_that_hangs_is_ended(loop_runner: LoopRunner) -> None:
    with pytest.raises(pytest.fail.Exception, match="Timeout"):
        loop_runner(asyncio.Event().wait)


def test_the_parts_of_an_address_are_unquoted() -> None:
    server = parse("postgres://me:p%40ss@db.example:6432/shop")
    assert (server.host, server.port, server.password) == ("db.example", 6432, "p@ss")
    assert server.dsn == "postgres://me:p%40ss@db.example:6432/shop"


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="must be postgres://user:password@host:port/db"):
        parse("mysql://me@localhost/shop")


@pytest.fixture
def session(postgres: Postgres, db_tables: None) -> Iterator[psycopg.Connection]:
    """A connection to the database of the alias `default`, in a transaction after its first use."""
    name = settings.DATABASES["default"]["NAME"]
    with closing(psycopg.connect(postgres.dsn, dbname=name)) as connection:
        yield connection


def add_author(session: psycopg.Connection) -> int:
    added = session.execute("INSERT INTO testapp_author (name) VALUES ('Ann') RETURNING id")
    row = added.fetchone()
    assert row is not None
    session.commit()
    number: int = row[0]
    return number


def test_tables_are_emptied_and_their_numbers_begin_anew(
    session: psycopg.Connection, postgres_tables: PostgresTables
) -> None:
    add_author(session)
    postgres_tables.empty()
    assert session.execute("SELECT id FROM testapp_author").fetchall() == []
    session.rollback()
    assert add_author(session) == 1


@pytest.mark.parametrize("statement", ["SELECT FROM {}", "DELETE FROM {}", "LOCK TABLE {}"])
def test_a_transaction_that_is_left_open_is_told(
    session: psycopg.Connection, postgres: Postgres, statement: str
) -> None:
    with closing(PostgresTables(postgres, ["default"], patience="50ms")) as tables:
        tables.empty()
        session.execute(statement.format("testapp_author"))
        with pytest.raises(AssertionError, match="left a transaction open on"):
            tables.empty()
        session.rollback()
        tables.empty()
