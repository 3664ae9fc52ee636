"""The unit of work: what a thread is to synchronous Django.

A request with all that it starts, or an outermost ``run_sync()``, is a unit. What
synchronous code keeps per thread belongs to it, in whatever greenlet, task or thread
its code runs. A context variable names it, so whatever copies the context is in it.
Code without one is the thread's.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any, TypeVar

from greenlet import getcurrent

from .greenlets import current_call

T = TypeVar("T")
AtEnd = Callable[[], None]


class Unit:
    """One unit of work.

    ``belongings`` are what rooms keep for it: one entry for each room, under a key of
    its own. Code may outlive its unit, such as a task that a request has started: it
    still finds what the unit has, and its next ``run_sync()`` begins another unit.
    """

    __slots__ = ("__weakref__", "_at_end", "belongings", "ended")

    def __init__(self) -> None:
        self.belongings: dict[Hashable, Any] = {}
        self.ended = False
        self._at_end: list[AtEnd] | None = None

    def at_end(self, callback: AtEnd) -> None:
        """Have a callable run at the end; it must not wait. The last one runs first."""
        if self._at_end is None:
            self._at_end = []
        self._at_end.append(callback)

    def end(self, *, quietly: bool = False) -> None:
        """End the unit. A second call does nothing.

        :param quietly: raise nothing, since the unit's code has failed already.
        :raises Exception: what the first callback that fails raises, after all have run.
        """
        self.ended = True
        callbacks, self._at_end = self._at_end, None
        failure: Exception | None = None
        for callback in reversed(callbacks or ()):
            try:
                callback()
            except Exception as error:
                failure = failure or error
        if failure is not None and not quietly:
            raise failure


# Read by run_sync() as well, which is why it is here and not in a class.
unit_variable: ContextVar[Unit | None] = ContextVar("loom_unit", default=None)


def context_value(variable: ContextVar[T | None]) -> T | None:
    """Return a variable of the context; in a greenlet of a library, of the call's.

    A greenlet that a library starts inside a call begins with an empty context.
    """
    value = variable.get()
    if value is None:
        call = current_call()
        if call is not None and call is not getcurrent() and call.gr_context is not None:
            return call.gr_context.get(variable)
    return value


def current_unit() -> Unit | None:
    """Return the unit that the calling code belongs to; None if it is the thread's."""
    return context_value(unit_variable)


def begin_unit() -> tuple[Unit, Token[Unit | None]]:
    """Begin a unit in the present context; ``leave_unit()`` leaves it there."""
    unit = Unit()
    return unit, unit_variable.set(unit)


def leave_unit(token: Token[Unit | None]) -> None:
    """Let the present context be in the unit, or in none, in which it was before."""
    try:
        unit_variable.reset(token)
    except ValueError:  # another context, as where the event loop closes a generator
        unit_variable.set(None)


@contextmanager
def unit_of_work() -> Iterator[Unit]:
    """Run a block as a unit of its own, whatever unit it is in.

    It belongs to synchronous and async code alike: nothing in here waits.
    """
    unit, token = begin_unit()
    try:
        yield unit
    finally:
        leave_unit(token)
        unit.end()
