"""Calls in a connection's thread: callers are cancelled before the statement begins."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.db import InterfaceError

from django_loom import run_sync
from django_loom.db.driver_thread import DriverThread
from django_loom.db.sqlite3.connection import SQLiteConnection
from tests.loops import LoopRunner
from tests.polling import aeventually, eventually

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


class LateStatement:
    """A statement that begins only after an interrupt, which SQLite then forgets."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", check_same_thread=False)
        self.thread = DriverThread("late")
        self.thread.interrupt = self.interrupt
        self.is_called = threading.Event()
        self.is_interrupted = threading.Event()
        self.interrupts = 0
        self.ended: list[BaseException] = []

    def interrupt(self) -> None:
        self.interrupts += 1
        self.connection.interrupt()
        self.is_interrupted.set()

    def execute(self) -> None:
        self.is_called.set()
        assert self.is_interrupted.wait(10)
        try:
            self.connection.execute(ENDLESS)
        except sqlite3.OperationalError as error:
            self.ended.append(error)
            raise

    def run(self) -> None:
        self.thread.run(self.execute)


@pytest.fixture
def late() -> Iterator[LateStatement]:
    late = LateStatement()
    yield late
    late.connection.interrupt()  # a failed test leaves no thread that Python waits for at its end
    late.thread.post(late.connection.close)
    late.thread.end()


async def cancelled_once(late: LateStatement) -> None:
    task = asyncio.create_task(run_sync(late.run))
    await aeventually(late.is_called.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert late.ended
    assert late.thread.run(lambda: late.connection.execute("SELECT 1").fetchone()) == (1,)


async def cancelled_twice(late: LateStatement) -> None:
    task = asyncio.create_task(run_sync(late.run))
    await aeventually(late.is_called.is_set)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def left_to_the_end_of_the_loop(late: LateStatement) -> None:
    task = asyncio.create_task(run_sync(late.run))
    late.keep = task  # type: ignore[attr-defined]
    await aeventually(late.is_called.is_set)


@pytest.mark.parametrize(
    "leave",
    [cancelled_once, cancelled_twice, left_to_the_end_of_the_loop],
    ids=lambda function: function.__name__,
)
def test_a_statement_that_begins_after_the_interrupt_is_ended(
    loop_runner: LoopRunner, late: LateStatement, leave: Callable
) -> None:
    loop_runner(leave, late)
    eventually(lambda: late.ended)
    assert str(late.ended[0]) == "interrupted"


def test_a_call_that_is_closed_leaves_no_endless_statement(late: LateStatement) -> None:
    async def main() -> None:
        coroutine = run_sync(late.run)
        coroutine.send(None)
        await aeventually(late.is_called.is_set)
        coroutine.close()

    asyncio.run(main())
    eventually(lambda: late.ended)


def test_the_next_statement_is_left_alone(loop_runner: LoopRunner, late: LateStatement) -> None:
    loop_runner(cancelled_twice, late)
    eventually(lambda: late.ended)
    many = ENDLESS.replace("FROM n)", "FROM n LIMIT 300000)")
    for _ in range(5):
        assert late.thread.run(lambda: late.connection.execute(many).fetchone()) == (300000,)
    assert late.interrupts >= 2


def test_a_sqlite_connection_that_is_closed_in_a_transaction_locks_nothing(tmp_path: Path) -> None:
    """Somebody still has a statement, as the traceback of an exception does."""

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            tmp_path / "db", isolation_level=None, timeout=0, check_same_thread=False
        )

    connection: Any = SQLiteConnection.open(connect, "sqlite")
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE numbers (number)")
    cursor.execute("BEGIN")
    cursor.execute("INSERT INTO numbers VALUES (1)")
    kept = connection._target.execute("SELECT 1 UNION SELECT 2")
    assert next(kept) == (1,)
    connection.close()
    connection._thread._executor.shutdown()
    with closing(connect()) as other:
        other.execute("INSERT INTO numbers VALUES (2)")
        assert other.execute("SELECT number FROM numbers").fetchall() == [(2,)]


def test_a_closed_connection_says_so(loop_runner: LoopRunner) -> None:
    """As the driver would, whose thread has ended."""

    def use_closed() -> None:
        connection = SQLiteConnection.open(lambda: sqlite3.connect(":memory:"), "closed")
        cursor = connection.cursor()
        connection.close()
        for use in (connection.cursor, connection.commit, lambda: cursor.execute("SELECT 1")):
            with pytest.raises(InterfaceError, match="closed"):
                use()
        cursor.close()
        connection.close()

    async def main() -> None:
        await run_sync(use_closed)

    use_closed()
    loop_runner(main)
