"""Generators that are left half-way, and whose end waits: in their destructors."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from django.db import transaction

from django_loom import await_, run_sync
from django_loom.replacements.threads import without_cancellations
from tests.db.support import ask, in_use
from tests.loops import LoopRunner
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables", "cancelled_destructors")
Wait = Callable[[], object]


def leave(wait: Wait) -> None:
    """Drop a generator that is not at its end; that waits, in the destructor."""

    def rows() -> Iterator[None]:
        try:
            yield
        finally:
            wait()

    for _ in rows():
        break


async def cancelled_while_it_leaves(then: Callable[[], None]) -> asyncio.Task[None]:
    begun, gate = asyncio.Event(), asyncio.Event()

    def wait() -> None:
        begun.set()
        await_(gate.wait())

    def function() -> None:
        leave(wait)
        then()

    task = asyncio.create_task(run_sync(function))
    await begun.wait()
    task.cancel("the reason")
    await asyncio.wait([task])
    return task


def test_a_cancellation_in_a_destructor_is_raised_at_the_next_wait(
    loop_runner: LoopRunner,
) -> None:
    log: list[str] = []

    def then() -> None:
        log.append("ran on")
        await_(asyncio.sleep(10))
        log.append("never here")

    async def main() -> None:
        task = await cancelled_while_it_leaves(then)
        assert task.cancelled()
        assert task.cancelling() == 1
        with pytest.raises(asyncio.CancelledError, match="the reason"):
            await task

    loop_runner(main)
    assert log == ["ran on"]


def test_a_call_that_waits_no_more_ends_as_if_nobody_had_cancelled_it(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        task = await cancelled_while_it_leaves(lambda: None)
        assert not task.cancelled()

    loop_runner(main)


def test_a_cancellation_in_the_rollback_of_a_left_generator_is_not_lost(
    loop_runner: LoopRunner,
) -> None:
    begun = asyncio.Event()

    def rows() -> Iterator[int]:
        with transaction.atomic():
            Author.objects.create(name="undone")
            try:
                yield 1
            finally:
                begun.set()
                ask("SELECT pg_sleep(10)")

    def function() -> None:
        for _ in rows():
            break
        ask("SELECT pg_sleep(10)")

    async def main() -> None:
        task = asyncio.create_task(run_sync(function))
        await begun.wait()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert await Author.objects.acount() == 0
        assert in_use() == 0

    loop_runner(main)


def test_a_timeout_in_a_destructor_ends_with_its_block(loop_runner: LoopRunner) -> None:
    """The code outside of it is nobody's to cancel any more."""

    async def main() -> int:
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                await run_sync(leave, lambda: await_(asyncio.sleep(10)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert loop_runner(main) == 0


def test_an_error_in_a_destructor_is_still_reported(
    loop_runner: LoopRunner, monkeypatch: pytest.MonkeyPatch
) -> None:

    reported: list[object] = []
    replaced = without_cancellations(lambda unraisable: reported.append(unraisable.exc_value))
    monkeypatch.setattr(sys, "unraisablehook", replaced)
    error = ValueError()

    def fail() -> None:
        await_(asyncio.sleep(0))
        raise error

    loop_runner(run_sync, leave, fail)
    assert reported == [error]
