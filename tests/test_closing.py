"""A coroutine that is closed half-way, in the midst of other code, changes nothing there."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from collections.abc import Callable
from types import CoroutineType
from typing import Any

import pytest
from asgiref.sync import sync_to_async

import django_loom
from django_loom import run_sync
from django_loom.bridge import begin_unit
from django_loom.db.postgresql import waiting
from django_loom.offload import Executor
from tests.loops import LoopRunner
from tests.polling import aeventually

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="")


def by_asgiref(function: Callable[[], None]) -> Any:
    return sync_to_async(function, thread_sensitive=False)()


def by_executor(function: Callable[[], None]) -> Any:
    return Executor("closing", 1).run(function)


def by_run_sync(function: Callable[[], None]) -> Any:
    return run_sync(Executor("closing", 1).call, function)


@pytest.mark.usefixtures("db_tables")
@pytest.mark.parametrize("how", ["closed", "freed", "collected"])
@pytest.mark.parametrize("waits", [by_asgiref, by_executor, by_run_sync])
@pytest.mark.parametrize("in_block", [False, True])
def test_other_code_keeps_its_unit_its_transaction_and_its_variables(
    loop_runner: LoopRunner,
    waits: Any,
    how: str,
    in_block: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Each wait for the database goes by the loop, as it does where the answer is not there at once.
    monkeypatch.setattr(waiting, "MAX_BUSY_TIME", -1)
    begun, end = threading.Event(), threading.Event()

    def function() -> None:
        begun.set()
        end.wait()

    async def abandoned() -> None:
        begin_unit()
        variable.set("of the abandoned one")
        async with django_loom.atomic():
            if in_block:
                await waits(function)
        await waits(function)

    def left() -> list[Any]:
        """Return the only reference to a coroutine of a loop that is closed."""
        loop = asyncio.new_event_loop()
        task = loop.create_task(abandoned())
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.run_until_complete(aeventually(begun.is_set))
        coroutine = task.get_coro()
        assert isinstance(coroutine, CoroutineType)
        loop.close()
        return [coroutine]

    def part_with(held: list[Any]) -> None:
        if how == "closed":
            held.pop().close()
        elif how == "collected":
            held.append(held)
        held = []
        end.set()
        gc.collect()

    def here() -> Any:
        return dict(contextvars.copy_context().items())

    async def main() -> None:
        variable.set("ours")
        async with django_loom.atomic():
            before = here()
            part_with(held.pop())
            assert here() == before

    held = [left()]
    try:
        loop_runner(main)
    finally:
        end.set()
