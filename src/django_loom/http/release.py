"""Free a request at its end, without the garbage collector.

Django's middleware puts objects into a request that have it themselves: the lazy user, the
store of messages. So a request is a cycle. The collector finds one that ended soon among the
youngest objects, at little cost. One that has lasted is among the old ones by then: to find
it the collector goes through what all requests have that wait, and the loop stands still.
"""

from __future__ import annotations

import sys
from gc import get_referents, is_tracked
from sys import getrefcount
from typing import Any

# Looking at more objects than this costs more than leaving them to the collector.
_MAX_REFERENTS = 400
# Without the interpreter's lock, a count of references is not exact.
_COUNTS_ARE_EXACT = getattr(sys, "_is_gil_enabled", lambda: True)()


def release(held: list[Any]) -> None:
    """Empty a request that nobody can reach any more, which breaks its cycles.

    To find that out takes longer than the collector does for a young request.

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
    target = held[0]
    # What is left when those that belong to it are taken off; `held` and `target` are no owners.
    missing = getrefcount(target) - _OF_NO_OWNER
    level = _solely_owned(list(target.__dict__.values()))
    while missing and level:
        before = getrefcount(target)
        referents = get_referents(*level)
        missing -= getrefcount(target) - before  # the list has it as often as it was found
        if len(referents) > _MAX_REFERENTS:
            return False
        level = _solely_owned(referents) if missing else []
        del referents  # or it would be counted in the next round
    return not missing


def _solely_owned(objects: list[Any]) -> list[Any]:
    return [it for it in objects if getrefcount(it) == _OF_ONE_OWNER and is_tracked(it)]


def _count_without_owner() -> int:
    held = [object()]
    target = held[0]
    return getrefcount(target)


def _count_solely_owned() -> int:
    owner = [object()]
    return next(getrefcount(it) for it in get_referents(owner))


# Measured, in the words of the functions above: how often the interpreter counts what it has
# itself in hand, such as the argument of a call, depends on its version.
_OF_NO_OWNER = _count_without_owner()
_OF_ONE_OWNER = _count_solely_owned()
