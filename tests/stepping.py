"""Cancel a task at an exact one of its suspensions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

Cancel = Callable[[asyncio.Task[Any], Any], None]


def before(task: asyncio.Task[Any], waits_for: Any) -> None:
    """The wait has just begun."""
    task.cancel()


def with_result(task: asyncio.Task[Any], waits_for: Any) -> None:
    """What the task waits for is there, and the task has not run since."""
    if waits_for is None:  # a bare yield, as in sleep(0)
        task.cancel()
    else:
        # This callback comes before the task's own, which the task adds after us.
        waits_for.add_done_callback(lambda _: task.cancel())


class Steps:
    """Awaits a coroutine, and cancels the awaiting task at chosen suspensions of it."""

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], cancel: Cancel, at: Callable[[int], bool]
    ) -> None:
        self.coroutine = coroutine
        self.cancel = cancel
        self.at = at
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


async def cancelled_at(
    operation: Callable[[], Awaitable[Any]], cancel: Cancel, at: Callable[[int], bool]
) -> tuple[asyncio.Task[Any], int]:
    """Run the operation, cancelled so; its task, which has ended, and the suspensions it had."""

    async def call() -> Any:
        return await operation()

    steps = Steps(call(), cancel, at)

    async def main() -> Any:
        return await steps

    task = asyncio.create_task(main())
    await asyncio.wait([task])
    return task, steps.taken
