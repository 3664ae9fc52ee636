"""Where the values of a local are: with the local, by unit, and gone with either.

The local owns them, so the garbage collector can see a value that leads back to its
local. A unit only has a token, by which it finds its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary, ref

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

    Nothing but the unit refers to it, so it goes when the unit goes. From the unit's end
    on, it owns the values in place of their locals: a value may lead back to the unit, as
    a task or a context does, and a local that lasts would keep both for ever.
    """

    __slots__ = ("_owned", "_tables", "token")

    def __init__(self) -> None:
        # Not the id of anything, for that would be another unit's later.
        self.token = object()
        self._tables: set[ref[ValuesByUnit]] = set()
        self._owned: WeakKeyDictionary[ValuesByUnit, Values] | None = None

    def get(self, table: ValuesByUnit) -> Values | None:
        """Return the values that a local has in this unit, if any."""
        values = table.get(self.token)
        if values is None and self._owned is not None:
            values = self._owned.get(table)
        return values

    def put(self, table: ValuesByUnit, values: Values) -> Values:
        """Give a local its values in this unit; return what another thread gave first."""
        if self._owned is not None:
            return self._owned.setdefault(table, values)
        self._tables.add(ref(table, self._tables.discard))
        return table.setdefault(self.token, values)

    def remove(self, table: ValuesByUnit) -> None:
        """Take from a local its values in this unit."""
        table.pop(self.token, None)
        if self._owned is not None:
            self._owned.pop(table, None)

    def end(self) -> None:
        """Own the values from now on."""
        owned: WeakKeyDictionary[ValuesByUnit, Values] = WeakKeyDictionary()
        self._owned = owned
        for table, values in self._take():
            owned[table] = values

    def _take(self) -> Iterator[tuple[ValuesByUnit, Values]]:
        # One by one: each reference leads back to the set, which would otherwise wait for
        # the collector. Another thread may free a local, and so take one, meanwhile.
        with suppress(KeyError):
            while True:
                table = self._tables.pop()()
                values = table.get(self.token) if table is not None else None
                if table is not None and values is not None:
                    yield table, values
                    table.pop(self.token, None)  # never in neither place

    def __del__(self) -> None:
        for _ in self._take():
            pass


def used_locals(unit: Unit) -> UsedLocals:
    """Return a unit's part, made now if the unit has used no local so far."""
    found: UsedLocals | None = unit.belongings.get(UsedLocals)
    if found is None:
        made = UsedLocals()
        found = unit.belongings.setdefault(UsedLocals, made)
        if found is made:
            unit.at_end(made.end)
            if unit.ended:
                made.end()
    return found
