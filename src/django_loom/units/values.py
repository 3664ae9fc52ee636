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


class Making:
    """The values of a local in a unit while ``__init__`` makes them: seen by its code alone."""

    __slots__ = ("is_over", "table", "used", "values")

    def __init__(self, used: UsedLocals, table: ValuesByUnit) -> None:
        self.used = used
        self.table = table
        self.values: Values = {}
        self.is_over = False


class UsedLocals:
    """The part of a unit: its token, and the locals that have values under it.

    Nothing but the unit refers to it, so it goes when the unit goes. From the unit's end
    on, it owns the values in place of their locals: a value may lead back to the unit, as
    a task or a context does, and a local that lasts would keep both for ever.
    """

    __slots__ = ("_makings", "_owned", "_tables", "_whole", "token")

    def __init__(self) -> None:
        # Not the id of anything, for that would be another unit's later.
        self.token = object()
        self._tables: set[ref[ValuesByUnit]] = set()
        self._owned: WeakKeyDictionary[ValuesByUnit, Values] | None = None
        self._makings: list[Making] = []
        self._whole: dict[ValuesByUnit, Values] = {}

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

    def begin(self, table: ValuesByUnit) -> Making:
        """Begin to make the values of a local.

        ``__init__`` waits → other code of the unit comes by, and would find them half made →
        it makes its own, and the first that are whole are the unit's. Who is still in
        ``__init__`` would mix them with his → they are put aside until nobody is.
        """
        making = Making(self, table)
        self._makings.append(making)
        return making

    def add_whole(self, making: Making) -> None:
        """Note that ``__init__`` has come to its end."""
        self._whole.setdefault(making.table, making.values)

    def whole(self, table: ValuesByUnit) -> Values | None:
        """Return the values that a local has in this unit, or will have, if any are whole."""
        values = self._whole.get(table)
        return self.get(table) if values is None else values

    def end_making(self, making: Making) -> None:
        """Give a local its values if they are whole, and nobody makes others any more."""
        table = making.table
        making.is_over = True
        self._makings.remove(making)
        # In this order: threads that do so at once see each other, and whoever comes by in
        # the midst finds the values in one place or the other.
        whole = self._whole.get(table)
        if whole is not None and all(each.table is not table for each in [*self._makings]):
            self.put(table, whole)
            self._whole.pop(table, None)

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
