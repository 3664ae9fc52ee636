"""What a call holds is given back before its waits and at its end, however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from greenlet import GreenletExit

from django_loom.bridge import await_, current_call, run_sync, suspend
from tests.loops import LoopRunner

from .tools import Held, echo


def hold(log: list[Any]) -> None:
    call = current_call()
    assert call is not None
    assert call.resources is None, "what an earlier call held"
    call.resources = {"held": Held(log)}


def test_before_each_await_but_not_before_a_suspension(loop_runner: LoopRunner) -> None:
    log: list[Any] = []

    def function() -> None:
        await_(echo(None))
        hold(log)
        log.append(suspend(echo("suspended")))
        log.append(await_(echo("awaited")))

    loop_runner(run_sync, function)
    assert log == ["suspended", "before_wait", "awaited", "after_call"]


def do_nothing() -> None:
    pass


def raise_error() -> None:
    raise LookupError


def raise_greenlet_exit() -> None:
    raise GreenletExit


def fail_in_a_wait() -> None:
    suspend(42)  # type: ignore[arg-type]


def wait_in_vain() -> None:
    with pytest.raises(TimeoutError):
        suspend(asyncio.wait_for(asyncio.Event().wait(), 0))


@pytest.mark.parametrize(
    "ending", [do_nothing, raise_error, raise_greenlet_exit, fail_in_a_wait, wait_in_vain]
)
def test_once_at_the_end(loop_runner: LoopRunner, ending: Callable[[], None]) -> None:
    log: list[Any] = []

    def function() -> None:
        hold(log)
        try:
            ending()
        finally:
            log.append("end")

    async def main() -> None:
        await asyncio.gather(run_sync(function), return_exceptions=True)
        assert log == ["end", "after_call"]

    loop_runner(main)


def test_at_the_end_of_a_cancelled_call(loop_runner: LoopRunner) -> None:
    log: list[Any] = []

    async def main() -> None:
        started = asyncio.Event()

        def function() -> None:
            hold(log)
            started.set()
            try:
                suspend(asyncio.Event().wait())
            finally:
                log.append(suspend(echo("finally")))

        task = asyncio.create_task(run_sync(function))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["finally", "after_call"]

    loop_runner(main)


def test_a_call_inside_another_holds_its_own(loop_runner: LoopRunner) -> None:
    log: list[Any] = []
    inner_log: list[Any] = []

    def function() -> None:
        hold(log)
        suspend(run_sync(hold, inner_log))

    loop_runner(run_sync, function)
    assert log == inner_log == ["after_call"]
