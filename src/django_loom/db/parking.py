"""Connection objects that no unit uses now, kept for the next one.

To make one costs twice as much as to keep it. A unit gets one only if it is as it was
made, and nobody else has it: what a unit's code has put on it must not be seen by another,
and code that has kept the object must not find itself in another unit.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict, deque
from sys import getrefcount
from typing import TYPE_CHECKING, Any
from weakref import getweakrefcount

from django.core.signals import setting_changed
from django.db import connections
from django.utils.functional import cached_property

from django_loom.bridge import Unit

if TYPE_CHECKING:
    from .leased import LeasedDatabaseMixin

# As many as units ever ran at once, up to this.
_MAX_PARKED = 1000
_parked: defaultdict[str, deque[Any]] = defaultdict(lambda: deque(maxlen=_MAX_PARKED))

_HELPERS = ("client", "creation", "features", "introspection", "ops", "validation")
# Without the interpreter's lock, a count of references is not exact.
_COUNTS_ARE_EXACT = getattr(sys, "_is_gil_enabled", lambda: True)()


def _count_of_owner() -> int:
    of_unit = {"alias": object()}
    return getrefcount(of_unit["alias"])


_OF_OWNER = _count_of_owner()  # measured, for it depends on the interpreter's version

# What a use changes, and the next one cannot notice.
_COUNTERS = {
    "_cache",  # of ops: the module of compilers
    "_named_cursor_idx",
    "_thread_ident",
    "leases",
    "outliving",
    "unit",
}


class _Snapshot:
    """What an untouched connection object and its helpers have."""

    __slots__ = ("helpers", "kind", "kinds", "of_helpers", "own", "owner")

    def __init__(self, wrapper: LeasedDatabaseMixin) -> None:
        wrapper.snapshot = self  # a part of what it has, so comparing finds it the same
        self.owner = id(wrapper)  # a copy has it as well, and is not the one
        self.own = dict(wrapper.__dict__)
        self.helpers = [getattr(wrapper, name) for name in _HELPERS]
        self.of_helpers = [dict(vars(helper)) for helper in self.helpers]
        # Their classes, too, which code may change.
        self.kind = type(wrapper)
        self.kinds = [type(helper) for helper in self.helpers]


def remember(wrapper: LeasedDatabaseMixin) -> None:
    """Take a connection object that was just made for untouched."""
    unit, wrapper.unit = wrapper.unit, None
    _Snapshot(wrapper)
    wrapper.unit = unit


def park(of_unit: dict[str, Any], alias: str) -> None:
    """Keep a connection object for the next unit, unless somebody has it or has changed it."""
    references = getrefcount(of_unit[alias])
    wrapper = of_unit[alias]
    # Each of its helpers has it, and so has what we remember of each.
    expected = _OF_OWNER + 2 * len(_HELPERS) + ("wrap_database_errors" in wrapper.__dict__)
    if references != expected or getweakrefcount(wrapper) or not _COUNTS_ARE_EXACT:
        return
    if wrapper.leases or wrapper.pinned is not None or wrapper._execute_wrappers:
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
    if type(wrapper) is not snapshot.kind:
        return False
    if wrapper.__dict__ != snapshot.own:
        if not _is_same(wrapper, snapshot.own):
            return False
        snapshot.own = dict(wrapper.__dict__)  # with what was worked out since, and is kept
    helpers = snapshot.helpers  # it still has these
    if [*map(type, helpers)] != snapshot.kinds:
        return False
    if [*map(vars, helpers)] != snapshot.of_helpers:
        if not all(map(_is_same, helpers, snapshot.of_helpers)):
            return False
        snapshot.of_helpers = [dict(vars(helper)) for helper in helpers]
    return True


def _is_same(owner: Any, before: dict[str, Any]) -> bool:
    """Tell if an object has what it had, but for what says nothing of who has used it."""
    kind, present = type(owner), vars(owner)
    return all(name in present for name in before) and all(
        before.get(name, before) is value
        or name in _COUNTERS
        or isinstance(getattr(kind, name, None), cached_property)
        for name, value in present.items()
    )


def _forget_all(**kwargs: Any) -> None:
    _parked.clear()


def _follow_settings(*, setting: str, **kwargs: Any) -> None:
    if setting in {"DATABASES", "USE_TZ", "TIME_ZONE"}:
        _parked.clear()  # they keep what they worked out from the settings


setting_changed.connect(_follow_settings)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
