"""The collector ends a transaction that its code has left, in the midst of somebody else's."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.db.transaction import TransactionManagementError

from django_loom import run_sync
from django_loom.bridge import unit_of_work
from tests.db.support import in_use
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables")


def rows() -> Iterator[None]:
    with transaction.atomic():
        Author.objects.create(name="left")
        yield


def leave_for_the_collector() -> None:
    left = rows()
    next(left)
    cycle: list[Any] = [left]
    cycle.append(cycle)


def in_block() -> None:
    with transaction.atomic():
        Author.objects.create(name="before")
        gc.collect()
        Author.objects.create(name="after")


def without_autocommit() -> None:
    transaction.set_autocommit(False)
    Author.objects.create(name="before")
    gc.collect()
    assert not transaction.get_autocommit()
    Author.objects.create(name="after")
    transaction.commit()
    transaction.set_autocommit(True)


@pytest.mark.parametrize("work", [in_block, without_autocommit])
def test_the_collector_rolls_back_the_block_that_was_left_and_no_other(
    loop_runner: LoopRunner, work: Any
) -> None:
    async def main() -> None:
        gc.disable()
        try:
            with unit_of_work():
                await asyncio.create_task(run_sync(leave_for_the_collector))
                await run_sync(work)
        finally:
            gc.enable()
        names = [author.name async for author in Author.objects.order_by("pk")]
        assert names == ["before", "after"]
        assert in_use() == 0

    loop_runner(main)


@pytest.mark.parametrize("pinned", [False, True])
def test_code_in_the_left_block_commits_nothing(loop_runner: LoopRunner, pinned: bool) -> None:
    """The same flow goes on in it, and loses its transaction with it; also a pinned one's."""

    def work() -> None:
        leave_for_the_collector()
        if pinned:
            with connection.cursor() as cursor:
                cursor.execute("SET application_name = 'pinned'")
        in_block()

    async def main() -> None:
        gc.disable()
        try:
            with (
                unit_of_work(),
                pytest.raises((OperationalError, TransactionManagementError)),
            ):
                await run_sync(work)
        finally:
            gc.enable()
        await aeventually(lambda: in_use() == 0)
        assert not await Author.objects.aexists()

    loop_runner(main)
