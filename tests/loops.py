"""Runs coroutines in tests as asyncio.run does, on each kind of loop, and lets no error pass."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop

LOOPS = ["asyncio", "uvloop"]
if sys.version_info >= (3, 12):
    LOOPS.append("eager")


def new_loop(kind: str) -> asyncio.AbstractEventLoop:
    loop = uvloop.new_event_loop() if kind == "uvloop" else asyncio.new_event_loop()
    # In Python's development mode, what takes longer is logged, where tests read what we log.
    loop.slow_callback_duration = math.inf
    if kind == "eager":
        loop.set_task_factory(asyncio.eager_task_factory)
    return loop


@dataclass
class LoopRunner:
    """`run(function, *args)` or `run(coroutine)`: each call is a new loop, closed at its end."""

    kind: str
    errors: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, main: Callable[..., Awaitable[Any]] | Awaitable[Any], *args: Any) -> Any:
        self.errors.clear()
        try:
            with asyncio.Runner(loop_factory=self._new_loop) as runner:
                result = runner.run(_wait_for(main, *args))
        except RuntimeError:
            self._raise_timeout()
            raise
        self._raise_timeout()
        if self.errors:
            pytest.fail(f"the loop's exception handler was called: {self.errors}")
        return result

    def _new_loop(self) -> asyncio.AbstractEventLoop:
        loop = new_loop(self.kind)
        loop.set_exception_handler(self._note)
        return loop

    def _note(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.errors.append(context)
        if isinstance(context.get("exception"), pytest.fail.Exception):
            loop.stop()

    def _raise_timeout(self) -> None:
        # pytest-timeout raises in a signal handler, and uvloop hands that to the loop's handler.
        for context in self.errors:
            if isinstance(error := context.get("exception"), pytest.fail.Exception):
                raise error


async def _wait_for(main: Callable[..., Awaitable[Any]] | Awaitable[Any], *args: Any) -> Any:
    return await (main(*args) if callable(main) else main)
