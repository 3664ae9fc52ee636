"""Connection objects that no unit uses now, kept for the next one.

To make one costs twice as much as to keep it. A unit gets one only if it is as it was
made, and nobody else has it: what a unit's code has put on it must not be seen by another,
and code that has kept the object must not find itself in another unit.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict, deque
from operator import is_, itemgetter
from sys import getrefcount
from types import ModuleType
from typing import TYPE_CHECKING, Any
from weakref import getweakrefcount

from django.core.signals import setting_changed
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.functional import cached_property

from django_loom.bridge import Unit

if TYPE_CHECKING:
    from .leased import LeasedDatabaseMixin

# As many as units ever ran at once, up to this.
_MAX_PARKED = 1000
_parked: defaultdict[str, deque[Any]] = defaultdict(lambda: deque(maxlen=_MAX_PARKED))

_HELPERS = ("client", "creation", "features", "introspection", "ops", "validation")
# What else code may have kept, and would change for the next unit, or find it by.
_OWN_PARTS = ("_execute_wrappers", "_queries_log", "wrap_database_errors")
_own_parts_of = itemgetter(*_OWN_PARTS)
# Without the interpreter's lock, a count of references is not exact.
_COUNTS_ARE_EXACT = getattr(sys, "_is_gil_enabled", lambda: True)()


def _count_of_owner() -> int:
    of_unit = {"alias": object()}
    return getrefcount(of_unit["alias"])


# Who has it when its unit parts with it: its unit, which is measured, for that depends on the
# interpreter's version; each helper and what we remember of it; and its error wrapper.
_OF_OWNERS = _count_of_owner() + 2 * len(_HELPERS) + 1

_LASTING = (bool, int, float, str, bytes, type(None), type, ModuleType)
# What Django and we put on each new object, and what is empty or the same when it is parked.
_KNOWN_PARTS = {
    *_HELPERS,
    *_OWN_PARTS,
    "_thread_sharing_lock",
    "connection",  # of a helper
    "engine",
    "leases",
    "outliving",
    "plain_lease",
    "pool_options",
    "settings_dict",
    "snapshot",
    "timezone",
}


class _Snapshot:
    """What an untouched connection object and its helpers have."""

    __slots__ = ("counts", "helpers", "kinds", "own_parts", "owner", "parts", "values")

    def __init__(self, wrapper: LeasedDatabaseMixin) -> None:
        wrapper.snapshot = self  # a part of what it has, so comparing finds it the same
        self.owner = id(wrapper)  # a copy has it as well, and is not the one
        self.helpers = [getattr(wrapper, name) for name in _HELPERS]
        owners = (wrapper, *self.helpers)
        self.kinds = [*map(type, owners)]  # their classes, too, which code may change
        self.values = [dict(vars(owner)) for owner in owners]
        self.own_parts = _own_parts_of(vars(wrapper))
        self.parts = [*self.helpers, *self.own_parts]
        self.counts = _counts(self.parts)  # nobody else has them so far


def _counts(parts: list[Any]) -> list[int]:
    return [*map(getrefcount, parts), *map(getweakrefcount, parts)]


def remember(wrapper: LeasedDatabaseMixin) -> None:
    """Take a connection object that was just made for untouched."""
    # Made now, for nearly each use of the object needs them.
    wrapper.wrap_database_errors  # noqa: B018
    if type(wrapper).timezone is BaseDatabaseWrapper.timezone:  # which asks the settings only
        wrapper.timezone  # noqa: B018
    unit, wrapper.unit = wrapper.unit, None
    # An ENGINE gives its object a dict → a unit puts something in → we compare dicts, which are
    # the same → so such an object is for one unit only.
    if all(map(_is_lasting, (wrapper, *(getattr(wrapper, name) for name in _HELPERS)))):
        _Snapshot(wrapper)
    wrapper.unit = unit


def _is_lasting(owner: Any) -> bool:
    """Tell if no value that an object has can change in itself, unknown to us."""
    return all(
        name in _KNOWN_PARTS or isinstance(value, _LASTING) for name, value in vars(owner).items()
    )


def park(of_unit: dict[str, Any], alias: str) -> None:
    """Keep a connection object for the next unit, unless somebody has it or has changed it.

    :param of_unit: has it, and no lease of it is left.
    """
    references = getrefcount(of_unit[alias])
    wrapper = of_unit[alias]
    if references != _OF_OWNERS or getweakrefcount(wrapper) or not _COUNTS_ARE_EXACT:
        return
    if wrapper._execute_wrappers:
        return
    wrapper.unit = None
    wrapper._queries_log.clear()
    snapshot = wrapper.__dict__.get("snapshot")
    if snapshot is None or snapshot.owner != id(wrapper):
        return
    if _is_untouched(wrapper, snapshot):
        _parked[wrapper.alias].append(wrapper)


def adopt(alias: str, unit: Unit) -> LeasedDatabaseMixin | None:
    """Return a parked connection object, now the unit's, or None if there is none."""
    parked = _parked.get(alias)
    while parked:
        try:
            wrapper: LeasedDatabaseMixin = parked.pop()
        except IndexError:  # another thread took the last one
            break
        if wrapper.settings_dict is connections.settings.get(alias):
            wrapper.unit = unit
            return wrapper
    return None


def _is_untouched(wrapper: Any, snapshot: _Snapshot) -> bool:
    owners = (wrapper, *snapshot.helpers)
    # A unit keeps `connection.ops` or the list of execute wrappers → it changes that in the
    # midst of another unit → who has a part has the object.
    if [*map(type, owners)] != snapshot.kinds or _counts(snapshot.parts) != snapshot.counts:
        return False
    present: list[Any] = [*map(vars, owners)]
    if _are_same(present, snapshot):
        return True
    for owner, before in zip(owners, snapshot.values, strict=True):
        _drop_kept(owner, before)
    return _are_same(present, snapshot)


def _are_same(present: list[dict[str, Any]], snapshot: _Snapshot) -> bool:
    # What is only equal will not do, as somebody's empty list of execute wrappers; but all else
    # that is the object's own cannot change in itself, or is compared by what it is.
    return present == snapshot.values and all(
        map(is_, _own_parts_of(present[0]), snapshot.own_parts)
    )


def _drop_kept(owner: Any, before: dict[str, Any]) -> None:
    """Drop what a use has worked out, but for the module of compilers, which is the process's."""
    kind, present = type(owner), vars(owner)
    # Code sets `connection.timezone` → it looks as if its property had worked it out, and the
    # next unit would have it → that one works it out for itself.
    for name in present.keys() - before.keys():
        if name == "_named_cursor_idx" or isinstance(getattr(kind, name, None), cached_property):
            del present[name]
    compilers = sys.modules.get(getattr(owner, "compiler_module", ""))
    if compilers is not None and present.get("_cache") is compilers:
        before["_cache"] = compilers  # of ops


def _forget_all(**kwargs: Any) -> None:
    _parked.clear()


def _follow_settings(*, setting: str, **kwargs: Any) -> None:
    if setting in {"DATABASES", "USE_TZ", "TIME_ZONE"}:
        _parked.clear()  # they keep what they worked out from the settings


setting_changed.connect(_follow_settings)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
