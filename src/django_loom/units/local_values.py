"""How the values of a local begin: in each unit and thread ``__init__`` makes them at first use.

Where it waits, other code of the unit may come for the values meanwhile.
"""

from __future__ import annotations

from _thread import _local
from contextvars import ContextVar
from typing import Any

from ..bridge import Unit, context_value, context_variable, current_unit
from .values import Making, UsedLocals, Values, ValuesByUnit, used_locals

ThreadLocal = _local  # the real one, whatever `threading.local` is now
get_of_thread = ThreadLocal.__getattribute__
# In the values of a thread for which __init__ has not run, since the local was made
# there but in a unit. No name of an attribute is like it.
_UNBEGUN: Any = object()
_makings: ContextVar[tuple[Making, ...] | None] = context_variable("loom_makings", None)


def begin_new(local: ThreadLocal, table: ValuesByUnit) -> None:
    """Give a local that was made just now its values in the unit, if code of one makes it."""
    unit = current_unit()
    if unit is not None and not table.of_threads and type(local).__init__ is not object.__init__:
        # __init__ runs after this, for the unit; for the thread when it comes here.
        get_of_thread(local, "__dict__")[_UNBEGUN] = True
        used_locals(unit).put(table, {})


def values_of_thread(local: ThreadLocal, table: ValuesByUnit) -> Values:
    """Return a local's values in this thread, made now if it is here for the first time."""
    values: Values = get_of_thread(local, "__dict__")
    if _UNBEGUN in values:
        del values[_UNBEGUN]
        try:
            _initialize(local, table)
        except BaseException:
            values.clear()
            values[_UNBEGUN] = True
            raise
    return values


def begin_values(local: ThreadLocal, table: ValuesByUnit, unit: Unit) -> Values:
    """Make the values of a unit that uses the local for the first time."""
    used = used_locals(unit)
    if type(local).__init__ is object.__init__:
        return used.put(table, {})
    for making in context_value(_makings) or ():
        if making.used is used and making.table is table and not making.is_over:
            return making.values  # this code is in __init__, or was started there
    values = used.whole(table)
    return _make_values(local, used, table) if values is None else values


def _make_values(local: ThreadLocal, used: UsedLocals, table: ValuesByUnit) -> Values:
    around = _makings.get()
    making = used.begin(table)
    _makings.set((*(around or ()), making))
    try:
        if used.whole(table) is None:  # another's may be, since it was asked
            _initialize(local, table)
            used.add_whole(making)
    finally:
        _makings.set(around)
        used.end_making(making)
    whole: Any = used.whole(table)
    return whole  # type: ignore[no-any-return]


def _initialize(local: ThreadLocal, table: ValuesByUnit) -> None:
    init: Any = type(local).__init__
    if init is not object.__init__:
        args, kwargs = table.arguments
        init(local, *args, **kwargs)
