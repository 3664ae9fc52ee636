"""``threading.local`` for units of work: below one its values, outside the thread's.

It is a real ``threading.local`` whose three ways to an attribute are replaced, so that
arguments, weak references, slots, pickling and the thread's values are the real one's.
The class has no metaclass: one would refuse each class that has another.
"""

from __future__ import annotations

import gc
import sys
from _thread import _local
from collections.abc import Mapping
from contextvars import ContextVar
from types import FrameType
from typing import Any

from ..bridge import Unit, context_value, context_variable, current_unit
from ..bridge.unit import unit_in_context
from .policy import belongs_to_threads
from .values import Making, UsedLocals, Values, ValuesByUnit, used_locals

ThreadLocal = _local  # the real one, whatever `threading.local` is now
_get = object.__getattribute__
_get_of_thread = ThreadLocal.__getattribute__
# In the values of a thread for which __init__ has not run, since the local was made
# there but in a unit. No name of an attribute is like it.
_UNBEGUN: Any = object()
_makings: ContextVar[tuple[Making, ...] | None] = context_variable("loom_makings", None)


class LocalBase(ThreadLocal):
    """What a subclass of the real class is put on, when that was defined before us.

    It adds no slot: Python then accepts it in ``__bases__``.
    """

    __slots__ = ()

    def __new__(cls, /, *args: Any, **kwargs: Any) -> Any:
        """Make a local; ``__init__`` gets these arguments in each unit and thread."""
        return _make(cls, args, kwargs)

    def __getattribute__(self, name: str) -> Any:
        # What _values_of() finds, the short way: every read comes here.
        unit = unit_in_context()
        if unit is None:
            table, values = _values_of(self)
        else:
            try:
                table = _get(self, "_loom_table")
                values = table[unit.belongings[UsedLocals].token]
            except (KeyError, AttributeError):
                table, values = _values_of(self)
        if name in values:
            for namespace in table.namespaces:
                if name in namespace:
                    return _one_of_both(self, name, namespace[name], values)
            return values[name]
        if name == "__dict__":
            return values
        # The instance's own dictionary has nothing, so this is what the class has.
        return _get(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "__dict__":
            raise _read_only(self)
        table, values = _values_of(self)
        if _is_guarded(name, table):
            _set(self, name, value)
        else:
            values[name] = value

    def __delattr__(self, name: str) -> None:
        if name == "__dict__":
            raise _read_only(self)
        table, values = _values_of(self)
        if name in values and not _is_guarded(name, table):
            del values[name]
        else:
            _delete(self, name)


class Local(LocalBase):
    """What ``threading.local`` is, once the app is loaded."""

    __slots__ = ("_loom_table",)

    def __new__(cls, /, *args: Any, **kwargs: Any) -> Any:
        """Make a local; a real one for a module whose locals are the thread's."""
        return _make(_class_for(sys._getframe(1)) if cls is Local else cls, args, kwargs)


class RealLocal(Local):
    """The real one, which is an instance of ``threading.local`` as well."""

    __slots__ = ()
    __getattribute__ = ThreadLocal.__getattribute__
    __setattr__ = ThreadLocal.__setattr__  # type: ignore[assignment]
    __delattr__ = ThreadLocal.__delattr__


class ThreadCriticalStorage(Local):
    """What an ``asgiref.local.Local(thread_critical=True)`` of a project has its values in.

    For code on a loop asgiref keeps a context variable in it, one for each thread. That
    stays so: the context names the unit already, and may have begun before that.
    """

    __slots__ = ()

    @property
    def cvar(self) -> Any:
        """The context variable of code on this thread's loop."""
        try:
            return _get_of_thread(self, "__dict__")["cvar"]
        except KeyError:
            raise AttributeError("cvar") from None

    @cvar.setter
    def cvar(self, value: Any) -> None:
        _get_of_thread(self, "__dict__")["cvar"] = value


def _class_for(maker: FrameType) -> type[Local]:
    """Return the class of a local that the code of a frame makes."""
    if maker.f_globals.get("__name__") != "asgiref.local":
        return RealLocal if _belongs_to_threads(maker) else Local
    # One that is thread-critical: for its own module, or for somebody else's.
    around = maker.f_back
    is_threads = around is None or _belongs_to_threads(around)
    return RealLocal if is_threads else ThreadCriticalStorage


def _belongs_to_threads(frame: FrameType) -> bool:
    return belongs_to_threads(frame.f_globals.get("__name__"))


def local_with(values: Values, cls: type[Local] = Local) -> Local:
    """Return a local that has these values in this thread."""
    made: Local = _make(cls, (), {})
    _get_of_thread(made, "__dict__").update(values)
    return made


def _set(made: Any, name: str, value: Any) -> None:
    try:
        object.__setattr__(made, name, value)
    except TypeError:  # older Pythons refuse this below a class of C's own
        ThreadLocal.__setattr__(made, name, value)


def _delete(made: Any, name: str) -> None:
    try:
        object.__delattr__(made, name)
    except TypeError:
        ThreadLocal.__delattr__(made, name)


def _make(cls: type[LocalBase], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    made = ThreadLocal.__new__(cls, *args, **kwargs)
    if cls is RealLocal:
        return made
    table = _table_for(cls, (args, kwargs))
    _set(made, "_loom_table", table)
    unit = current_unit()
    if unit is not None and not table.of_threads and cls.__init__ is not object.__init__:
        # __init__ runs after this, for the unit; for the thread when it comes here.
        _get_of_thread(made, "__dict__")[_UNBEGUN] = True
        used_locals(unit).put(table, {})
    return made


def _table_for(
    cls: type[LocalBase], arguments: tuple[tuple[Any, ...], dict[str, Any]]
) -> ValuesByUnit:
    own = [each for each in cls.__mro__ if each not in _BASES]
    namespaces: tuple[Mapping[str, Any], ...] = tuple(each.__dict__ for each in own)
    of_threads = any(
        each.__module__ != __name__ and belongs_to_threads(each.__module__)
        for each in own
        if issubclass(each, LocalBase)
    )
    return ValuesByUnit(arguments, namespaces, of_threads)


def _values_of(local: LocalBase) -> tuple[ValuesByUnit, Values]:
    """Return all values of a local, and those of the calling code."""
    unit = unit_in_context() or current_unit()
    try:
        table: ValuesByUnit = _get(local, "_loom_table")
    except AttributeError:
        table = _adopt(local)
    if unit is None or table.of_threads:
        return table, _values_of_thread(local, table)
    used = unit.belongings.get(UsedLocals)
    values = used.get(table) if used is not None else None
    return table, _begin(local, table, unit) if values is None else values


def _adopt(local: LocalBase) -> ValuesByUnit:
    """Give a local that is older than we are what it needs.

    What it was made with, only the garbage collector shows: one tuple, and one
    dictionary whose keys are names.
    """
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    own = _get(local, "__dict__")
    for each in gc.get_referents(local):
        if type(each) is tuple:
            args = each
        elif type(each) is dict and each is not own and _has_names(each):
            kwargs = each
    table: ValuesByUnit = own.setdefault("_loom_table", _table_for(type(local), (args, kwargs)))
    return table


def _has_names(given: dict[Any, Any]) -> bool:
    return bool(given) and all(type(key) is str for key in given)


def _values_of_thread(local: LocalBase, table: ValuesByUnit) -> Values:
    values: Values = _get_of_thread(local, "__dict__")
    if _UNBEGUN in values:
        del values[_UNBEGUN]
        try:
            _initialize(local, table)
        except BaseException:
            values.clear()
            values[_UNBEGUN] = True
            raise
    return values


def _begin(local: LocalBase, table: ValuesByUnit, unit: Unit) -> Values:
    """Make the values of a unit that uses the local for the first time."""
    used = used_locals(unit)
    if type(local).__init__ is object.__init__:
        return used.put(table, {})
    for making in context_value(_makings) or ():
        if making.used is used and making.table is table and not making.is_over:
            return making.values  # this code is in __init__, or was started there
    values = used.whole(table)
    return _make_values(local, used, table) if values is None else values


def _make_values(local: LocalBase, used: UsedLocals, table: ValuesByUnit) -> Values:
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


def _initialize(local: LocalBase, table: ValuesByUnit) -> None:
    init: Any = type(local).__init__
    if init is not object.__init__:
        args, kwargs = table.arguments
        init(local, *args, **kwargs)


def _one_of_both(local: LocalBase, name: str, attribute: Any, values: Values) -> Any:
    """Return the value, but not where the class has a descriptor that writes."""
    return _get(local, name) if _writes(attribute) else values[name]


def _is_guarded(name: str, table: ValuesByUnit) -> bool:
    """Tell if the class has a descriptor of this name that writes."""
    for namespace in table.namespaces:
        if name in namespace:
            return _writes(namespace[name])
    return name in _GUARDED


def _writes(attribute: Any) -> bool:
    return hasattr(type(attribute), "__set__") or hasattr(type(attribute), "__delete__")


def _read_only(local: LocalBase) -> AttributeError:
    return AttributeError(f"{type(local).__name__!r} object attribute '__dict__' is read-only")


_BASES = frozenset([Local, LocalBase, RealLocal, ThreadLocal, object])
_GUARDED = frozenset(
    name for base in _BASES for name, value in vars(base).items() if _writes(value)
)
