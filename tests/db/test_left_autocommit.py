"""Transactions that nobody ended: autocommit left off, and blocks left open."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.backends.signals import connection_created

import django_loom
from django_loom import run_sync
from django_loom.bridge import unit_of_work
from django_loom.exceptions import AutocommitLeftOff
from tests.db.support import (
    ask,
    backend_pid,
    execute,
    in_use,
)
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables")


# Transactions that nobody ended.


def leave_off(*, commit: bool) -> None:
    transaction.set_autocommit(False)
    Author.objects.create(name="Ann")
    if commit:
        transaction.commit()


@pytest.mark.parametrize("commit", [False, True])
def test_a_unit_that_ends_with_autocommit_off_fails(loop_runner: LoopRunner, commit: bool) -> None:
    async def main() -> None:
        with (  # noqa: PT012
            pytest.raises(AutocommitLeftOff, match=r"in leave_off\. Write `with transaction"),
            unit_of_work(),
        ):
            await run_sync(lambda: leave_off(commit=commit))
            assert await run_sync(transaction.get_autocommit) is False
            await run_sync(Author.objects.count)
        await aeventually(lambda: in_use() == 0)
        assert await run_sync(transaction.get_autocommit) is True
        assert await Author.objects.acount() == int(commit)

    loop_runner(main)


def test_autocommit_that_is_left_off_on_two_databases_is_told_of_both(
    loop_runner: LoopRunner,
) -> None:
    def leave_off_both() -> None:
        for alias in ("default", "other"):
            transaction.set_autocommit(False, using=alias)
            Author.objects.using(alias).create(name="Ann")

    async def main() -> None:
        with (
            pytest.raises(AutocommitLeftOff, match=r"(?s)'default'.*'other'"),
            unit_of_work(),
        ):
            await run_sync(leave_off_both)
        await aeventually(lambda: (in_use(), in_use("other")) == (0, 0))

    loop_runner(main)


def test_the_units_own_error_comes_before_that_of_autocommit(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError), unit_of_work():  # noqa: PT012
            await run_sync(lambda: leave_off(commit=False))
            raise ZeroDivisionError
        await aeventually(lambda: in_use() == 0)

    loop_runner(main)


def test_a_transaction_left_open_is_rolled_back_with_a_warning(
    loop_runner: LoopRunner, caplog: pytest.LogCaptureFixture
) -> None:
    def begin_and_forget() -> int:
        execute("BEGIN", "INSERT INTO testapp_author (name) VALUES ('lost')")
        return backend_pid()

    async def main() -> None:
        with unit_of_work():
            await run_sync(begin_and_forget)
            assert await Author.objects.acount() == 1  # the unit's code is in it, as in Django
        await aeventually(lambda: in_use() == 0)
        assert await Author.objects.acount() == 0

    with caplog.at_level(logging.WARNING, "django_loom"):
        loop_runner(main)
    assert "was open at the end of a unit of work" in caplog.text
    assert "test_left_autocommit.py" in caplog.text


def test_a_receiver_that_uses_the_connection_takes_no_second_one(
    loop_runner: LoopRunner,
) -> None:
    """As many resets as the pool has connections would wait for one more for ever."""

    def receiver(**kwargs: Any) -> None:
        if kwargs["connection"].alias == "default":
            ask("SELECT 1")

    async def main() -> None:
        number = django_loom.pool().options.max_size
        await asyncio.gather(*(run_sync(execute, "SET a.b = 'c'") for _ in range(2 * number)))
        await aeventually(lambda: in_use() == 0)

    connection_created.connect(receiver)
    try:
        loop_runner(main)
    finally:
        connection_created.disconnect(receiver)
        connections.close_all()
