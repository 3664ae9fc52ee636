"""Find the locals that are older than ours: made before the app was loaded.

Only what is imported already is looked at, and nothing is changed here. Django's start waits
for a look at every module, so what can have no local must cost next to nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import ExtensionFileLoader, ModuleSpec, SourceFileLoader
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, NamedTuple

from .local_base import LocalBase
from .local_values import ThreadLocal
from .locals import Local, ThreadCriticalStorage, local_with
from .policy import belongs_to_threads


@dataclass(frozen=True, slots=True)
class Found:
    """A real local, the real class, or a subclass of it; ``replacement`` is the new value.

    For a local that is a class, of which a new one is to be. ``owner`` has it in
    ``attribute``. It is None if what has it cannot be changed.
    """

    module: str
    name: str
    owner: Any
    attribute: str
    value: Any
    replacement: Any = None


def replacements() -> list[Found]:
    """Return what can be replaced. One object that several modules have stays one."""
    made: dict[int, Local] = {}
    changes = []
    for found in find():
        if found.owner is None:
            continue
        if type(found.value) is ThreadLocal:
            # Kept in `found`, so its id is not another's.
            if id(found.value) not in made:
                made[id(found.value)] = local_with(found.value.__dict__, found.replacement)
            new: Any = made[id(found.value)]
        else:
            new = found.replacement
        changes.append(
            Found(found.module, found.name, found.owner, found.attribute, found.value, new)
        )
    return changes


def find() -> Iterator[Found]:
    """Look through all modules but those whose locals are the thread's."""
    modules, of_threads = _imported()
    kept = {id(each) for module in of_threads for each in _locals_in(module.names.values())}
    for module in modules:
        for attribute, value in [*module.names.items()]:
            try:
                if not _may_have_locals(module.name, value):
                    continue
                place = _Place(module.name, attribute, module.module, attribute)
                found = [*_look_at(place, value, _look_inside)]
            except Exception:  # a type may refuse even to be compared
                continue
            # Imported from a module whose locals are the thread's → that has the real one.
            yield from (each for each in found if not {id(each.value), id(each.owner)} & kept)


class _Module(NamedTuple):
    name: str
    module: ModuleType
    names: dict[str, Any]


# A lazy module may have a `__dict__` of its own, which imports all that it has.
_names_of = vars(ModuleType)["__dict__"].__get__


def _imported() -> tuple[list[_Module], list[_Module]]:
    """Return the modules that may have locals of units, and those whose are the thread's."""
    both: tuple[list[_Module], list[_Module]] = ([], [])
    for name, module in [*sys.modules.items()]:
        if issubclass(type(module), ModuleType):
            both[belongs_to_threads(name)].append(_Module(name, module, _names_of(module)))
    return both


class _Place(NamedTuple):
    module: str
    name: str
    owner: Any
    attribute: str

    def found(self, value: Any, replacement: Any = None) -> Found:
        return Found(self.module, self.name, self.owner, self.attribute, value, replacement)

    def inside(self, owner: Any, attribute: str) -> _Place:
        return _Place(self.module, f"{self.name}.{attribute}", owner, attribute)


# What is not worth a look: most of what a module has.
_NEVER = {str, bytes, int, float, bool, type(None), ModuleType, BuiltinFunctionType}
_NEVER |= {ModuleSpec, SourceFileLoader, ExtensionFileLoader}
_OF_ASGIREF = "asgiref.local"  # each version has classes of its own
_Inside = Callable[[_Place, Any], Iterator[Found]]


def _may_have_locals(module: str, value: Any) -> bool:
    """Tell most of what has none, and is most of what a module has, in little time."""
    kind = type(value)
    if kind in _NEVER:
        return False
    if kind is FunctionType:
        return bool(value.__closure__ or value.__defaults__ or value.__kwdefaults__)
    if kind is type:
        return value.__module__ == module or issubclass(value, ThreadLocal)
    return True


def _look_at(place: _Place, value: Any, inside: _Inside) -> Iterator[Found]:
    # By type(), since isinstance() would wake what is lazy.
    kind = type(value)
    if kind in _NEVER:
        return
    if kind is ThreadLocal:
        yield place.found(value, Local)
    elif kind.__module__ == _OF_ASGIREF:
        yield from _look_at_asgirefs(place, value)
    elif value is ThreadLocal:
        yield place.found(value, Local)
    elif issubclass(kind, type) and issubclass(value, ThreadLocal):
        yield from _look_at_subclass(place, value)
    else:
        yield from inside(place, value)


def _look_at_asgirefs(place: _Place, value: Any) -> Iterator[Found]:
    """Find what an ``asgiref.local.Local`` keeps its values in, if that is thread-critical."""
    storage = _own_attributes(value).get("_storage")
    if type(storage) is ThreadLocal:
        yield place.inside(value, "_storage").found(storage, ThreadCriticalStorage)


def _look_at_subclass(place: _Place, cls: type) -> Iterator[Found]:
    """Find the bases of a class that should have been ours, had the app been loaded before.

    To change them keeps the class what it is, with all its instances.
    """
    for each in cls.__mro__:
        if ThreadLocal in each.__bases__ and not belongs_to_threads(each.__module__):
            # Its instances keep what we need in their own dictionary, if they have one.
            owner = each if each.__dictoffset__ else None
            bases = tuple(LocalBase if base is ThreadLocal else base for base in each.__bases__)
            yield Found(
                each.__module__, each.__qualname__, owner, "__bases__", each.__bases__, bases
            )


def _look_inside(place: _Place, value: Any) -> Iterator[Found]:
    """Look one level into a class, an object or a container."""
    kind = type(value)
    if issubclass(kind, type):
        if value.__module__ == place.module:
            for name, each in _items(vars(value)):
                yield from _look_at(place.inside(value, name), each, _no_deeper)
    elif issubclass(kind, FunctionType):
        yield from _out_of_reach(place, _held_by_function(value))
    elif kind in (list, tuple, set, frozenset):
        yield from _out_of_reach(place, value)
    elif kind is dict:
        yield from _out_of_reach(place, value.values())
    else:
        inside = _items(_own_attributes(value))
        if inside and not belongs_to_threads(kind.__module__):
            for name, each in inside:
                yield from _look_at(place.inside(value, name), each, _no_deeper)


def _items(names: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the locals and classes: what counts at this depth."""
    return [
        (name, value)
        for name, value in [*names.items()]
        if (kind := type(value)) is ThreadLocal
        or kind.__module__ == _OF_ASGIREF
        or issubclass(kind, type)
    ]


def _no_deeper(place: _Place, value: Any) -> Iterator[Found]:
    return iter(())


def _out_of_reach(place: _Place, values: Any) -> Iterator[Found]:
    for each in _locals_in(values):
        if type(each) is ThreadLocal:
            yield Found(place.module, place.name, None, "", each)
        else:
            yield from _look_at_asgirefs(place, each)


def _locals_in(values: Iterable[Any]) -> list[Any]:
    return [
        each
        for each in [*values]
        if (kind := type(each)) is ThreadLocal or kind.__module__ == _OF_ASGIREF
    ]


def _held_by_function(function: FunctionType) -> Iterator[Any]:
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not assigned yet
            continue


def _own_attributes(value: Any) -> dict[str, Any]:
    try:
        own = object.__getattribute__(value, "__dict__")
    except (AttributeError, TypeError):
        return {}
    return own if type(own) is dict else {}
