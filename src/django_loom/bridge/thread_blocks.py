"""Blocks of async code that have the thread which waits for them for themselves.

One connection of that thread serves all its code. Two tasks open a transaction on it, each
by ``async with`` → the second one's would be a savepoint in the first, and end after it; and
what a third task writes would be rolled back with either → they wait until the block ends,
but for those that are in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar

from django_loom.exceptions import TransactionBusy

from . import waiting_threads
from .variables import context_variable

_TIMEOUT = 30.0  # seconds, until who has begun a block says how long


class ThreadBlock:
    """An open block; ``inner`` is the one in it that is open now, ``outer`` that around it.

    ``domain`` has the code that takes turns with it. The one without an ``outer`` is all that
    code, and lasts as long as a block is open in it.
    """

    __slots__ = ("_piece", "domain", "ended", "in_generator", "inner", "loop", "outer", "timeout")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, domain: object, outer: ThreadBlock | None
    ) -> None:
        self.loop = loop
        self.domain = domain
        self._piece = None if outer is None else waiting_threads.begin_piece(loop)
        self.outer = outer
        self.inner: ThreadBlock | None = None
        self.ended = asyncio.Event()
        self.in_generator = False  # whose consumer may leave it half-way
        self.timeout = _TIMEOUT  # seconds, for those who wait for its end

    def end(self) -> None:
        """Let the others go on."""
        outer = self.outer
        if outer is not None and outer.inner is self:
            outer.inner = None
            if outer.outer is None:
                # A task's variable has this block still, and so that around it → the task
                # would be in that, and not wait for the blocks that others begin from now on.
                outer.ended.set()
                _outermost.pop(self.domain, None)
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self.ended.set()
        if self._piece is not None:
            self._piece.end()

    @asynccontextmanager
    async def closing(self) -> AsyncIterator[None]:
        """Close the block when what is open in it has ended, from whatever context.

        That is a block as well: whatever else is in this one waits for its end.
        """
        before = _variable.get()
        _variable.set(self)
        try:
            closing = await begin_block(self.loop, to_close=True)
            closing.timeout = self.timeout
            try:
                yield
            finally:
                closing.end()
        finally:
            _variable.set(before)


_variable: ContextVar[ThreadBlock | None] = context_variable("loom_thread_block", None)
# All the code of a domain, while a block is open in it. Mostly there is none.
_outermost: dict[object, ThreadBlock] = {}


async def begin_block(loop: asyncio.AbstractEventLoop, *, to_close: bool = False) -> ThreadBlock:
    """Begin a block in the present context, when those that it isn't in have ended."""
    outer = await wait_for_turn(loop, to_close=to_close)
    if outer is None:
        domain = waiting_threads.domain(loop)
        outer = _outermost.setdefault(domain, ThreadBlock(loop, domain, None))
    block = outer.inner = ThreadBlock(loop, outer.domain, outer)
    _variable.set(block)
    return block


async def wait_for_turn(
    loop: asyncio.AbstractEventLoop, *, to_close: bool = False
) -> ThreadBlock | None:
    """Wait until no block is open in the one that the calling code is in, and return that.

    :raises TransactionBusy: it has taken too long.
    """
    if not _outermost:
        return None
    block = _innermost(loop)
    if block is not None and block.in_generator and not to_close:
        # As in db.scopes: a consumer that has left the generator is in its block no longer.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    while (block := _innermost(loop)) is not None and block.inner is not None:
        await _wait_for_end(block.inner)
    return block


async def _wait_for_end(block: ThreadBlock) -> None:
    try:
        async with asyncio.timeout(block.timeout):
            await block.ended.wait()
    except TimeoutError:
        raise TransactionBusy(
            f"Another task's block of django_loom.atomic() has been open for more than "
            f"{block.timeout:g} s (OPTIONS['pool']['timeout']). The thread that waits for this "
            "code in async_to_sync() has one connection, which the block has for itself: do not "
            "await another task's query in it."
        ) from None


def _innermost(loop: asyncio.AbstractEventLoop) -> ThreadBlock | None:
    domain = waiting_threads.domain(loop)
    block = _variable.get()
    while block is not None and (block.ended.is_set() or block.domain is not domain):
        block = block.outer
    return _outermost.get(domain) if block is None else block
