"""The class below each of our locals: a name leads to the values of the calling code.

It is a real ``threading.local`` whose three ways to an attribute are replaced, so that
arguments, weak references, slots, pickling and the thread's values are the real one's.
The class has no metaclass: one would refuse each class that has another.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import Any, TypeVar

from ..bridge import current_unit
from ..bridge.unit import unit_in_context
from .local_values import ThreadLocal, begin_new, begin_values, values_of_thread
from .policy import belongs_to_threads
from .values import UsedLocals, Values, ValuesByUnit

_Class = TypeVar("_Class", bound=type)
_get = object.__getattribute__
_OUR_MODULES = f"{__package__}."
# The classes that locals have in common. They need no look at each read: a name of what writes
# in them is guarded, so no value ever has it.
_bases: set[type] = set()
_guarded: set[str] = set()


def common_base(cls: _Class) -> _Class:
    """Register a class that locals have in common."""
    _bases.add(cls)
    _guarded.update(name for name, value in vars(cls).items() if _writes(value))
    return cls


def _writes(attribute: Any) -> bool:
    return hasattr(type(attribute), "__set__") or hasattr(type(attribute), "__delete__")


common_base(object)
common_base(ThreadLocal)


@common_base
class LocalBase(ThreadLocal):
    """What a subclass of the real class is put on, when that was defined before us.

    It adds no slot: Python then accepts it in ``__bases__``.
    """

    __slots__ = ()

    def __new__(cls, /, *args: Any, **kwargs: Any) -> Any:
        """Make a local; ``__init__`` gets these arguments in each unit and thread."""
        return make_local(cls, args, kwargs)

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


def make_local(cls: type[LocalBase], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Make a local of a class; ``__init__`` is still to be called for the calling code."""
    made = ThreadLocal.__new__(cls, *args, **kwargs)
    table = _table_for(cls, (args, kwargs))
    _set(made, "_loom_table", table)
    begin_new(made, table)
    return made


def _table_for(
    cls: type[LocalBase], arguments: tuple[tuple[Any, ...], dict[str, Any]]
) -> ValuesByUnit:
    own = [each for each in cls.__mro__ if each not in _bases]
    namespaces: tuple[Mapping[str, Any], ...] = tuple(each.__dict__ for each in own)
    of_threads = any(
        belongs_to_threads(each.__module__) and not each.__module__.startswith(_OUR_MODULES)
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
        return table, values_of_thread(local, table)
    used = unit.belongings.get(UsedLocals)
    values = used.get(table) if used is not None else None
    return table, begin_values(local, table, unit) if values is None else values


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


def _one_of_both(local: LocalBase, name: str, attribute: Any, values: Values) -> Any:
    """Return the value, but not where the class has a descriptor that writes."""
    return _get(local, name) if _writes(attribute) else values[name]


def _is_guarded(name: str, table: ValuesByUnit) -> bool:
    """Tell if the class has a descriptor of this name that writes."""
    for namespace in table.namespaces:
        if name in namespace:
            return _writes(namespace[name])
    return name in _guarded


def _read_only(local: LocalBase) -> AttributeError:
    return AttributeError(f"{type(local).__name__!r} object attribute '__dict__' is read-only")
