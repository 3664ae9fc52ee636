"""What the tests of threads have in common."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django_loom import run_sync
from django_loom.offload import Executor

# How code on a loop gives work away: in a coroutine, with its context or not, and in
# synchronous code below run_sync().
WAYS: dict[str, Callable[[Executor, Callable[[], Any]], Awaitable[Any]]] = {
    "coroutine": lambda executor, function: executor.run(function),
    "bare": lambda executor, function: executor.run_bare(function),
    "run_sync": lambda executor, function: run_sync(executor.call, function),
}


class Gate:
    """A function that says when it has begun, and ends when it is let."""

    def __init__(self, result: Any = None) -> None:
        self.begun, self.open, self.ended = [threading.Event() for _ in range(3)]
        self.result = result

    def __call__(self) -> Any:
        self.begun.set()
        assert self.open.wait(30)
        self.ended.set()
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@contextmanager
def made(threads: int = 1, **options: Any) -> Iterator[Executor]:
    """An executor for the block, whose threads are let go with it."""
    executor = Executor("tests", threads, **options)
    yield executor
    executor.close(cancel=True)


async def turns(number: int = 10) -> None:
    """Let everything on the loop happen that happens without anybody else."""
    for _ in range(number):
        await asyncio.sleep(0)
