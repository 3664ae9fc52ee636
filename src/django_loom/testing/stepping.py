"""Cancels a task at an exact one of its suspensions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

Cancel = Callable[[asyncio.Task[Any], Any], None]


def cancel_before(task: asyncio.Task[Any], waits_for: Any) -> None:
    """Cancel a task whose wait has just begun."""
    task.cancel()


def cancel_with_result(task: asyncio.Task[Any], waits_for: Any) -> None:
    """Cancel a task when what it waits for is there, and it has not run since."""
    if waits_for is None:  # a bare yield, as in sleep(0)
        task.cancel()
    else:
        # This callback comes before the task's own, which the task adds after us.
        waits_for.add_done_callback(lambda _: task.cancel())


async def cancelled_at(
    operation: Callable[[], Awaitable[Any]],
    at: Callable[[int], bool],
    cancel: Cancel = cancel_before,
) -> tuple[asyncio.Task[Any], int]:
    """Run an operation in a task that is cancelled at chosen ones of its suspensions.

    A test that goes through them all finds what a cancellation leaves behind, at whichever
    ``await`` or query it comes.

    :param operation: what to run; code that ``run_sync()`` runs is suspended where it waits.
    :param at: whether to cancel at a suspension, by its number. The first one is 1.
    :param cancel: ``cancel_before``, when the wait has just begun, or ``cancel_with_result``,
        in the moment in which its result is there.
    :return: the task, which has ended, and how often it was suspended.
    """

    async def call() -> Any:
        return await operation()

    steps = _Steps(call(), at, cancel)

    async def main() -> Any:
        return await steps

    task = asyncio.create_task(main())
    await asyncio.wait([task])
    return task, steps.taken


class _Steps:
    """Awaits a coroutine, and cancels the awaiting task at chosen suspensions of it."""

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], at: Callable[[int], bool], cancel: Cancel
    ) -> None:
        self.coroutine = coroutine
        self.at = at
        self.cancel = cancel
        self.taken = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        task = asyncio.current_task()
        assert task is not None
        step = self.coroutine.send
        argument: Any = None
        while True:
            try:
                waits_for = step(argument)
            except StopIteration as done:
                return done.value
            self.taken += 1
            if self.at(self.taken):
                self.cancel(task, waits_for)
            try:
                argument = yield waits_for
                step = self.coroutine.send
            except BaseException as error:
                argument, step = error, self.coroutine.throw
