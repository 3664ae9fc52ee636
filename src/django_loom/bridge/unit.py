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

from .greenlets import SyncCall
from .variables import context_variable

T = TypeVar("T")
AtEnd = Callable[[], None]


class Unit:
    """One unit of work.

    ``belongings`` are what rooms keep for it: one entry for each room, under a key of
    its own. Code may outlive its unit, such as a task that a request has started: it
    still finds what the unit has, and its next ``run_sync()`` begins another unit.
    ``is_part`` means that it is a piece of code around it which is in no unit: a call or a
    block, of which the code around may do one after the other.
    """

    __slots__ = ("__weakref__", "_at_end", "belongings", "ended", "is_part")

    def __init__(self, *, is_part: bool = False) -> None:
        self.is_part = is_part
        self.belongings: dict[Hashable, Any] = {}
        self.ended = False
        self._at_end: list[AtEnd] = []

    def describe(self) -> str:
        """Return what it is, for a message; nothing where that would tell nobody anything."""
        return ""

    def at_end(self, callback: AtEnd) -> None:
        """Have a callable run once, at the end; it must not wait. The last one runs first.

        For a unit that has ended, as another thread may find out too late, it runs now.
        """
        self._at_end.append(callback)
        # Asked after that: end() may run in another thread, and either sees the other's.
        if self.ended:
            self._run_callbacks(quietly=False)

    def end(self, *, quietly: bool = False) -> None:
        """End the unit. A second call does nothing.

        :param quietly: raise no Exception, since the unit's code has failed already.
        :raises BaseException: what the first callback that fails raises, after all have run.
        """
        self.ended = True
        if self._at_end:
            self._run_callbacks(quietly)

    def _run_callbacks(self, quietly: bool) -> None:
        failure: BaseException | None = None
        while self._at_end:
            try:
                callback = self._at_end.pop()
            except IndexError:  # another thread took the last one
                break
            try:
                callback()
            except BaseException as error:
                failure = error if failure is None else failure
        try:
            if failure is not None and not (quietly and isinstance(failure, Exception)):
                raise failure
        finally:
            del failure  # this frame is in its traceback


# Read by run_sync() as well, which is why it is here and not in a class.
unit_variable: ContextVar[Unit | None] = context_variable("loom_unit", None)
# For code that asks often. Where a name is imported, Python makes a bound method for each
# `name.get()`, which takes twice as long as the call.
unit_in_context = unit_variable.get


def context_value(variable: ContextVar[T | None]) -> T | None:
    """Return a variable of the context; in a greenlet of a library, of who started that.

    Such a greenlet begins with an empty context, though for Django, to which the thread
    is what counts, its code is the same as that around it.
    """
    value = variable.get()
    if value is not None or type(getcurrent()) is SyncCall:
        return value  # a call has the context of the task that awaits it
    return _value_around(variable)


def _value_around(variable: ContextVar[T | None]) -> T | None:
    value: T | None = None
    current = getcurrent().parent
    while value is None and current is not None:
        if current.gr_context is not None:
            value = current.gr_context.get(variable)
        current = current.parent
    return value


def current_unit() -> Unit | None:
    """Return the unit that the calling code belongs to; None if it is the thread's."""
    # As context_value() does, without the call: each query asks some ten times.
    unit = unit_variable.get()
    if unit is not None or type(getcurrent()) is SyncCall:
        return unit
    return _value_around(unit_variable)


def begin_unit(*, is_part: bool = False) -> tuple[Unit, Token[Unit | None]]:
    """Begin a unit in the present context; ``leave_unit()`` leaves it there."""
    unit = Unit(is_part=is_part)
    return unit, unit_variable.set(unit)


def enter_unit() -> tuple[Unit | None, Token[Unit | None]]:
    """Put the present context, which has none, in the unit around it, or begin one.

    :return: the unit, if it was begun here, and what ``leave_unit()`` takes.
    """
    around = current_unit() if getcurrent().parent is not None else None
    if around is None or around.ended:
        unit = Unit(is_part=True)
        return unit, unit_variable.set(unit)
    return None, unit_variable.set(around)


def leave_unit(token: Token[Unit | None]) -> None:
    """Let the present context be in the unit, or in none, in which it was before."""
    try:  # noqa: SIM105 - for each call; suppress() takes longer than all the rest
        unit_variable.reset(token)
    except ValueError:
        # A coroutine that the garbage collector or the loop closes ends in the context of
        # other code. That has a unit of its own, which must be left alone.
        pass


@contextmanager
def unit_of_work() -> Iterator[Unit]:
    """Run a block as a unit of its own, whatever unit it is in.

    It belongs to synchronous and async code alike: nothing in here waits.
    """
    unit, token = begin_unit()
    failed = True
    try:
        yield unit
        failed = False
    finally:
        leave_unit(token)
        unit.end(quietly=failed)
