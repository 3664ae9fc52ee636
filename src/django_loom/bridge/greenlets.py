"""The greenlets that synchronous code runs in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING, Any, Protocol

import greenlet as greenlet_module
from greenlet import getcurrent, greenlet

if TYPE_CHECKING:
    from .unit import Unit


class Resource(Protocol):
    """Something that a ``run_sync()`` call holds while it runs."""

    def before_wait(self) -> None:
        """Give back what must not be held during the wait that now begins."""

    def after_call(self) -> None:
        """Give back everything; the call has ended. Must not raise or wait."""


class SyncCall(greenlet):
    """A ``run_sync()`` call; when that has ended, perhaps another one.

    ``driver`` is the greenlet to switch to for a wait. It is not ``parent``: code
    in the call may start greenlets of its own, and the coroutine may be resumed
    from another greenlet than the one that started it. ``job`` is the function
    with its arguments; None when the call has ended.

    ``awaitable`` is what to wait for, on its way to the coroutine, which alone
    keeps it: the garbage collector does not look into greenlets, so a task that
    waits for something which its own greenlet keeps would never be collected.
    ``task`` is set only while the synchronous code runs, for the same reason.
    ``value`` is what came of the wait, on its way back. ``child`` is the greenlet
    that waits, where it is not the call itself but one that a library has started in it.
    ``waiting`` is true from the wait's begin to its end; none of the call's code runs then.
    ``unit`` is the unit of work that the call has begun and will end, if it has.
    """

    __slots__ = (
        "awaitable",
        "child",
        "closing",
        "driver",
        "job",
        "loop",
        "resources",
        "result",
        "task",
        "unit",
        "value",
        "waiting",
    )

    driver: greenlet
    loop: asyncio.AbstractEventLoop
    job: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]] | None
    awaitable: Awaitable[Any]
    result: Any
    resources: dict[Hashable, Resource] | None
    closing: bool
    task: asyncio.Task[Any] | None
    value: Any
    child: greenlet | None
    waiting: bool
    unit: Unit | None

    def run(self) -> None:
        """Run one job after the other. An exception ends the greenlet."""
        while self.job is not None:
            fn, args, kwargs = self.job
            try:
                self.result = fn(*args, **kwargs)
            finally:
                self.job = None
            if self.closing or self.driver is not main_greenlet or len(resting) >= MAX_RESTING:
                return
            del fn, args, kwargs  # a greenlet at rest keeps nothing alive
            self._rest()

    def _rest(self) -> None:
        value = None
        while self.job is None:
            # Woken without a job by the end of a greenlet that was made in an earlier
            # call, and has us for a parent: what it returns goes on to ours.
            value = self.driver.switch(value)


# A thread ends whose main greenlet one frame still has, in the traceback of an exception →
# greenlet looks for who has it (gc.get_referrers()), and drops that reference if it finds nobody.
# In the midst of a collection the frame can't be found → the frame has a freed object, and the
# collector crashes (greenlet 3.5, TThreadState.hpp) → it doesn't look.
greenlet_module.enable_optional_cleanup(False)  # type: ignore[attr-defined]  # not in its stubs

# Greenlets at rest: to start one costs six times as much as to use it again, most of
# that for memory from the system. Only the main thread's, since a greenlet that is
# suspended when its thread ends is never freed.
resting: list[SyncCall] = []
MAX_RESTING = 100


def outermost(current: greenlet) -> greenlet:
    """Return the greenlet that a greenlet's thread began with."""
    while current.parent is not None:
        current = current.parent
    return current


def _main_greenlet() -> greenlet | None:
    if threading.current_thread() is not threading.main_thread():
        return None  # imported in another thread: none is used again
    return outermost(getcurrent())


main_greenlet = _main_greenlet()


def current_call() -> SyncCall | None:
    """Return the ``run_sync()`` call that the calling code runs in, if any.

    Code that a library runs in a greenlet of its own is in the call that started that.
    """
    current: greenlet | None = getcurrent()
    while current is not None:
        if type(current) is SyncCall:
            # At rest it serves nobody: its child is left from a call that has ended. Perhaps
            # it serves another call already; if that waits, it is not what has run the child.
            return None if current.job is None or current.waiting else current
        current = current.parent
    return None
