"""What the tests of the bridge have in common."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from django_loom.bridge import SyncCall, await_
from django_loom.bridge.greenlets import resting

untraced = pytest.mark.skipif(
    sys.gettrace() is not None, reason="the tracer of coverage keeps something for each greenlet"
)


async def echo(value: Any) -> Any:
    """Return the value after one trip around the loop."""
    await asyncio.sleep(0)
    return value


async def turns(number: int = 20) -> None:
    """Let every task go on that can."""
    for _ in range(number):
        await asyncio.sleep(0)


async def fail(error: BaseException) -> None:
    """Raise the error after one trip around the loop."""
    await asyncio.sleep(0)
    raise error


def double(value: int) -> int:
    """Wait once, and return twice the value."""
    return 2 * int(await_(echo(value)))


def calls_in_use() -> list[SyncCall]:
    """Return the greenlets of the bridge that are alive and not at rest."""
    gc.collect()
    found = [each for each in gc.get_objects() if type(each) is SyncCall]
    return [call for call in found if not call.dead and call not in resting]


def function_names(error: BaseException) -> list[str]:
    """Return the functions of an error's traceback, the outermost first."""
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


class Suspended:
    """A synchronous function that waits until it is let go; says where it is."""

    def __init__(self, then: Callable[[], Any] = lambda: "done") -> None:
        self.then = then
        self.log: list[Any] = []
        self.started = asyncio.Event()
        self.gate = asyncio.Event()

    def __call__(self) -> Any:
        try:
            self.started.set()
            await_(self.gate.wait())
        except BaseException as error:
            self.log.append(type(error))
            raise
        finally:
            self.log.append("finally")
        return self.then()


class Held:
    """A resource that notes what the call does with it."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def before_wait(self) -> None:
        self.log.append("before_wait")

    def after_call(self) -> None:
        self.log.append("after_call")


def ident_after_a_wait() -> tuple[int, int]:
    """Return which thread runs it, before a wait and after it."""
    before = threading.get_ident()
    await_(asyncio.sleep(0))
    return before, threading.get_ident()
