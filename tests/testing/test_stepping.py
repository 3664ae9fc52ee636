"""Cancellations at exact suspensions: each is met, in coroutines and in code on the bridge."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from django_loom import await_, run_sync
from django_loom.testing import cancel_before, cancel_with_result, cancelled_at
from tests.loops import LoopRunner

Operation = Callable[[list[int]], Awaitable[Any]]


async def coroutine(done: list[int]) -> str:
    for number in (1, 2, 3):
        await asyncio.sleep(0)
        done.append(number)
    return "result"


async def bridged(done: list[int]) -> str:
    def function() -> str:
        for number in (1, 2, 3):
            await_(asyncio.sleep(0))
            done.append(number)
        return "result"

    return await run_sync(function)


async def wait_for(future: asyncio.Future[int]) -> int:
    return await future


each_operation = pytest.mark.parametrize("operation", [coroutine, bridged])


@each_operation
@pytest.mark.parametrize("cancel", [cancel_before, cancel_with_result])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_it_is_cancelled_at_that_suspension(
    loop_runner: LoopRunner, operation: Operation, cancel: Any, number: int
) -> None:
    done: list[int] = []

    async def main() -> None:
        task, suspensions = await cancelled_at(lambda: operation(done), number.__eq__, cancel)
        assert task.cancelled()
        assert suspensions == number

    loop_runner(main)
    assert done == [1, 2, 3][: number - 1]


@each_operation
def test_after_its_last_suspension_it_has_its_result(
    loop_runner: LoopRunner, operation: Operation
) -> None:
    async def main() -> None:
        task, suspensions = await cancelled_at(lambda: operation([]), (4).__eq__)
        assert (task.result(), suspensions) == ("result", 3)

    loop_runner(main)


@pytest.mark.parametrize(
    ("cancel", "is_there"), [(cancel_before, False), (cancel_with_result, True)]
)
def test_a_result_is_there_or_not(loop_runner: LoopRunner, cancel: Any, is_there: bool) -> None:
    async def main() -> None:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(cancelled_at(lambda: wait_for(future), (1).__eq__, cancel))
        for _ in range(5):
            await asyncio.sleep(0)
        assert waiting.done() is not is_there
        if is_there:
            future.set_result(1)
        task, _ = await waiting
        assert task.cancelled()
        assert future.cancelled() is not is_there

    loop_runner(main)


def test_who_goes_on_after_a_cancellation_can_be_cancelled_again(loop_runner: LoopRunner) -> None:
    caught: list[int] = []

    async def stubborn() -> None:
        for number in (1, 2):
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                caught.append(number)

    async def main() -> None:
        task, suspensions = await cancelled_at(stubborn, lambda number: True)
        assert not task.cancelled()
        assert suspensions == 2

    loop_runner(main)
    assert caught == [1, 2]
