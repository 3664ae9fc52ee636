"""Free a request at its end, without the garbage collector.

Django's middleware puts objects into a request that have it themselves: the lazy user, the
store of messages. So a request is a cycle. With one request at a time the collector finds
each while it is young and few objects are there; with a thousand that wait it goes through
all that they have, again and again, and the loop stands still meanwhile.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from gc import get_referents, is_tracked
from sys import getrefcount
from typing import Any

# Looking at more objects than this costs more than leaving them to the collector.
_MAX_REFERENTS = 400
# Without the interpreter's lock, a count of references is not exact.
_COUNTS_ARE_EXACT = getattr(sys, "_is_gil_enabled", lambda: True)()


def release(held: list[Any]) -> None:
    """Empty a request that nobody can reach any more, which breaks its cycles.

    :param held: the request, to which the caller has no other reference.
    """
    if _COUNTS_ARE_EXACT and _refers_to_itself_only(held):
        held[0].__dict__.clear()


def _refers_to_itself_only(held: list[Any]) -> bool:
    """Tell if every reference to an object comes from what belongs to it alone.

    An object belongs to it if its one owner does. Where another party has one of these
    objects as well, say a task the lazy user, what that refers to is not looked at; then a
    reference is missing in the sum, and the request stays as it is.
    """
    target = id(held[0])
    # What is left when those that belong to it are taken off; the list's own is no owner.
    missing = _reference_counts(held)[0] - (_OF_ONE_OWNER - 1)
    level = _with_one_owner(list(held[0].__dict__.values()))
    while missing and level:
        referents = get_referents(*level)
        if len(referents) > _MAX_REFERENTS:
            return False
        missing -= list(map(id, referents)).count(target)
        level = _with_one_owner(referents)
    return missing == 0


def _with_one_owner(objects: list[Any]) -> list[Any]:
    return [it for it in objects if getrefcount(it) == _OF_ONE_OWNER and is_tracked(it)]


def _reference_counts(objects: Iterable[Any]) -> list[int]:
    return [getrefcount(it) for it in objects]


# Beside the owner: the list, the loop over it, and the call's argument, which is borrowed in
# newer Pythons. So it is measured, in the same words as above.
_owner = [object()]
_OF_ONE_OWNER = _reference_counts(get_referents(_owner))[0]
