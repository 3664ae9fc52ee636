"""The list of a connection's execute wrappers, as code in ``execute_wrapper()`` blocks sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

ExecuteWrapper = Callable[..., Any]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A block whose queries are wrapped: inside what the connection had when it was entered."""

    key: object  # the same one wherever code has put its wrapper by hand
    wrapper: ExecuteWrapper
    around: tuple[ExecuteWrapper, ...]
    plain: object  # the connection that has it in its own list, as that of plain code does
    is_taken_out: bool = False  # by code that has it in the context


def combined(own: list[ExecuteWrapper], blocks: list[Block]) -> list[ExecuteWrapper]:
    """Return a connection's wrappers, with those of blocks in their places."""
    wrappers = list(own)
    place_inside = len(own)
    for block in reversed(blocks):  # each goes before those that are inside it
        if not block.is_taken_out:
            place_inside = min(_place(own, block), place_inside)
            wrappers.insert(place_inside, block.wrapper)
    return wrappers


def _place(own: list[ExecuteWrapper], block: Block) -> int:
    around, after = list(block.around), 0
    for place, wrapper in enumerate(own, 1):
        if wrapper in around:
            around.remove(wrapper)
            after = place
    return after


def apart(
    wrappers: list[ExecuteWrapper], blocks: list[Block]
) -> tuple[list[ExecuteWrapper], list[Block]]:
    """Return the wrappers that are of no block, and the blocks as they are among them."""
    found: dict[int, Block] = {}
    for block in reversed(blocks):
        places = [n for n, each in enumerate(wrappers) if each is block.wrapper and n not in found]
        if places:
            found[places[-1]] = block
    own: list[ExecuteWrapper] = []
    placed = [replace(each, is_taken_out=True) for each in blocks if each not in found.values()]
    for place, wrapper in enumerate(wrappers):
        if place in found:
            placed.append(replace(found[place], around=tuple(own), is_taken_out=False))
        else:
            own.append(wrapper)
    return own, placed


def _changing(name: str) -> Any:
    """Return a method of lists that changes a connection's wrappers as well."""

    def change(wrappers: WrappersInBlocks, *args: Any, **kwargs: Any) -> Any:
        now = wrappers.now()
        result = getattr(now, name)(*args, **kwargs)
        wrappers.become(now)
        return wrappers if result is now else result

    return change


class WrappersInBlocks(list[ExecuteWrapper]):
    """A connection's wrappers, with those of the blocks that the calling code is in.

    What is changed by hand is the connection's, and so its unit's. A block's own wrapper that
    is taken out or put elsewhere is so for the context, and gone with the block.
    """

    def __init__(self, connection: Any, blocks: list[Block]) -> None:
        self.own = connection._execute_wrappers
        self._connection = connection
        self._blocks = blocks
        super().__init__(combined(self.own, blocks))

    append = _changing("append")
    clear = _changing("clear")
    extend = _changing("extend")
    insert = _changing("insert")
    pop = _changing("pop")
    remove = _changing("remove")
    reverse = _changing("reverse")
    sort = _changing("sort")
    __delitem__ = _changing("__delitem__")
    __iadd__ = _changing("__iadd__")
    __imul__ = _changing("__imul__")
    __setitem__ = _changing("__setitem__")

    def now(self) -> list[ExecuteWrapper]:
        """Return the wrappers of this moment; of one that was replaced, as it was left."""
        return list(self._connection.execute_wrappers if self._is_current else self)

    @property
    def _is_current(self) -> bool:
        return self._connection._execute_wrappers is self.own

    def become(self, wrappers: list[ExecuteWrapper]) -> None:
        """Have other wrappers, and let the connection have those that are of no block."""
        if self._is_current:
            self._blocks = self._connection.blocks_here()
        self.own[:], placed = apart(wrappers, self._blocks)
        if self._is_current:
            self._connection.note_blocks(placed)
        super().__setitem__(slice(None), wrappers)
