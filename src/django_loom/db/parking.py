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
    "_queries_log",
    "_thread_ident",
    "leases",
    "outliving",
    "unit",
}


def remember(wrapper: LeasedDatabaseMixin) -> None:
    """Take a connection object that was just made for untouched."""
    wrapper.__dict__["pristine"] = pristine = dict(wrapper.__dict__)
    for name in _HELPERS:
        pristine[f"attributes of {name}"] = dict(vars(getattr(wrapper, name)))


def park(of_unit: dict[str, Any], alias: str) -> None:
    """Keep a connection object for the next unit, unless somebody has it or has changed it."""
    references = getrefcount(of_unit[alias])
    wrapper = of_unit[alias]
    # Each of its helpers has it, and so has what we remember of each.
    expected = _OF_OWNER + 2 * len(_HELPERS) + ("wrap_database_errors" in wrapper.__dict__)
    if references != expected or not _COUNTS_ARE_EXACT:
        return
    if wrapper.leases or wrapper.pinned is not None or not _is_untouched(wrapper):
        return
    wrapper.unit = None
    wrapper._queries_log.clear()
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


def _is_untouched(wrapper: LeasedDatabaseMixin) -> bool:
    pristine: dict[str, Any] = wrapper.__dict__["pristine"]
    present = wrapper.__dict__
    if len(present) < len(pristine) - len(_HELPERS) or wrapper._execute_wrappers:
        return False
    kind = type(wrapper)
    for name, value in present.items():
        if pristine.get(name, pristine) is not value and not _may_change(kind, name):
            return False
    return all(_is_untouched_helper(wrapper, name, pristine) for name in _HELPERS)


def _is_untouched_helper(wrapper: Any, name: str, pristine: dict[str, Any]) -> bool:
    helper = present = getattr(wrapper, name)
    before = pristine[f"attributes of {name}"]
    present = vars(helper)
    if len(present) == len(before) and all(before.get(k, before) is present[k] for k in present):
        return True
    kind = type(helper)
    return all(before.get(k, before) is v or _may_change(kind, k) for k, v in present.items())


def _may_change(kind: type, name: str) -> bool:
    """Tell if an attribute says nothing of who has used the object."""
    if name in _COUNTERS or name == "pristine":
        return True
    return isinstance(getattr(kind, name, None), cached_property)


def _forget_all(**kwargs: Any) -> None:
    _parked.clear()


def _follow_settings(*, setting: str, **kwargs: Any) -> None:
    if setting in {"DATABASES", "USE_TZ", "TIME_ZONE"}:
        _parked.clear()  # they keep what they worked out from the settings


setting_changed.connect(_follow_settings)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
