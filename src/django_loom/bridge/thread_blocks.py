"""Blocks of async code that have the thread which waits for them for themselves.

One connection of that thread serves all its code. Two tasks open a transaction on it, each
by ``async with`` → the second one's would be a savepoint in the first, and end after it; and
what a third task writes would be rolled back with either → they wait until the block ends,
but for those that are in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from weakref import WeakKeyDictionary

from django_loom.exceptions import TransactionBusy


class ThreadBlock:
    """An open block; ``inner`` is the one in it that is open now, ``outer`` that around it."""

    __slots__ = ("ended", "in_generator", "inner", "loop", "outer", "timeout")

    def __init__(self, loop: asyncio.AbstractEventLoop, outer: ThreadBlock | None) -> None:
        self.loop = loop
        self.outer = outer
        self.inner: ThreadBlock | None = None
        self.ended = asyncio.Event()
        self.in_generator = False  # whose consumer may leave it half-way
        self.timeout: float | None = None  # for those who wait for its end

    def end(self) -> None:
        """Let the others go on."""
        if self.outer is not None and self.outer.inner is self:
            self.outer.inner = None
        self.ended.set()

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Be in the block, which the calling context may not know."""
        token = _variable.set(self)
        try:
            yield
        finally:
            _variable.reset(token)


_variable: ContextVar[ThreadBlock | None] = ContextVar("loom_thread_block", default=None)
# All the code of a loop, in which the outermost blocks are. Mostly there is none.
_outermost: WeakKeyDictionary[asyncio.AbstractEventLoop, ThreadBlock] = WeakKeyDictionary()


async def begin_block(loop: asyncio.AbstractEventLoop) -> ThreadBlock:
    """Begin a block in the present context, when those that it isn't in have ended."""
    outer = await wait_for_turn(loop)
    if outer is None:
        outer = _outermost.setdefault(loop, ThreadBlock(loop, None))
    block = outer.inner = ThreadBlock(loop, outer)
    _variable.set(block)
    return block


async def wait_for_turn(loop: asyncio.AbstractEventLoop) -> ThreadBlock | None:
    """Wait until no block is open in the one that the calling code is in, and return that.

    :raises TransactionBusy: it has taken too long.
    """
    if not _outermost:
        return None
    block = _innermost(loop)
    if block is not None and block.in_generator:
        # As in db.scopes: a consumer that has left the generator is in its block no longer.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    while (block := _innermost(loop)) is not None and block.inner is not None:
        try:
            async with asyncio.timeout(block.inner.timeout):
                await block.inner.ended.wait()
        except TimeoutError:
            raise TransactionBusy(
                f"Another task's block of django_loom.atomic() has been open for more than "
                f"{block.inner.timeout if block.inner else 0:g} s (OPTIONS['pool']['timeout']). "
                "The thread that waits for this code in async_to_sync() has one connection, "
                "which the block has for itself: do not await another task's query in it."
            ) from None
    return block


def _innermost(loop: asyncio.AbstractEventLoop) -> ThreadBlock | None:
    block = _variable.get()
    while block is not None and (block.ended.is_set() or block.loop is not loop):
        block = block.outer
    return _outermost.get(loop) if block is None else block
