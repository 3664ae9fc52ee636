"""Where the values of a local are: with the local, by unit, and gone with either.

The local owns them, so the garbage collector can see a value that leads back to its
local. A unit only has a token, by which it finds its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from weakref import ref

from ..bridge import Unit

Values = dict[Any, Any]


class ValuesByUnit(dict[object, Values]):
    """The values of one local: those of each unit that uses it, by the unit's token.

    ``arguments`` are what the local was made with, for ``__init__`` in each unit.
    ``of_threads`` means that a unit has none: they are the thread's always.
    ``namespaces`` are those of the local's class and its bases, as live views.
    """

    __slots__ = ("__weakref__", "arguments", "namespaces", "of_threads")

    __hash__ = object.__hash__  # type: ignore[assignment]  # in the units' sets, by identity

    def __eq__(self, other: object) -> bool:
        return self is other

    def __init__(
        self,
        arguments: tuple[tuple[Any, ...], dict[str, Any]],
        namespaces: tuple[Mapping[str, Any], ...],
        of_threads: bool,
    ) -> None:
        self.arguments = arguments
        self.namespaces = namespaces
        self.of_threads = of_threads


class UsedLocals:
    """The part of a unit: its token, and the locals that have values under it.

    Nothing but the unit refers to it, so it goes when the unit goes.
    """

    __slots__ = ("_tables", "token")

    def __init__(self) -> None:
        # Not the id of anything, for that would be another unit's later.
        self.token = object()
        self._tables: set[ref[ValuesByUnit]] = set()

    def put(self, table: ValuesByUnit, values: Values) -> Values:
        """Give a local its values in this unit; return what another thread gave first."""
        self._tables.add(ref(table, self._tables.discard))
        return table.setdefault(self.token, values)

    def __del__(self) -> None:
        # Emptied one by one: each reference leads back to the set, which would otherwise
        # wait for the collector. Another thread may free a local, and so take one, meanwhile.
        with suppress(KeyError):
            while True:
                table = self._tables.pop()()
                if table is not None:
                    table.pop(self.token, None)


def used_locals(unit: Unit) -> UsedLocals:
    """Return a unit's part, made now if the unit has used no local so far."""
    found: UsedLocals | None = unit.belongings.get(UsedLocals)
    if found is None:
        found = unit.belongings.setdefault(UsedLocals, UsedLocals())
    return found
