"""Responses whose content is a synchronous iterator."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

# A hop for each part of a few bytes would cost more than the parts.
_BYTES_PER_HOP = 2**16
# A part that took longer than this was waited for: the next may take as long.
_QUICK_SECONDS = 0.005

Run = Callable[..., Coroutine[Any, Any, bool]]


async def iterate(source: Iterator[bytes], run: Run) -> AsyncIterator[bytes]:
    """Iterate over synchronous parts without holding up the loop.

    Each part comes out as soon as it is there, and no more are made than are sent.

    :param run: calls a function where the iterator's code is to run: in a thread, or
        in a greenlet. Between slow parts the code keeps neither of them.
    """
    parts = _Parts()
    ended = False
    while not ended:
        filling = asyncio.create_task(run(parts.fill, source))
        filling.add_done_callback(parts.wake)
        try:
            while not filling.done() or parts.arrived:
                if not parts.arrived:
                    await parts.wait()
                else:
                    yield parts.take()
        finally:
            if not filling.done():
                filling.cancel()
                await asyncio.wait([filling])  # a thread may be in the iterator's code still
            if filling.done() and not filling.cancelled():
                filling.exception()  # nobody may ask for it: the client has left
        ended = filling.result()


class _Parts:
    """What the iterator's code has made, and the loop not sent yet."""

    def __init__(self) -> None:
        self.arrived: deque[bytes] = deque()  # one for good: both sides change it at any time
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None

    def fill(self, source: Iterator[bytes]) -> bool:
        """Take parts from the iterator for one hop; tell if it has ended."""
        size = 0
        while size < _BYTES_PER_HOP:
            started = time.monotonic()
            try:
                part = next(source)
            except StopIteration:
                return True
            size += len(part)
            self.arrived.append(part)
            # Read after the append: the loop sets it before it looks for parts again.
            if self._waiter is not None:
                self._loop.call_soon_threadsafe(self.wake)
            if time.monotonic() - started > _QUICK_SECONDS:
                break
        return False

    def take(self) -> bytes:
        """Return what has arrived."""
        return b"".join([self.arrived.popleft() for _ in range(len(self.arrived))])

    async def wait(self) -> None:
        """Return when something has arrived, or nothing more will in this hop."""
        self._waiter = self._loop.create_future()
        if not self.arrived:
            await self._waiter
        self._waiter = None

    def wake(self, *ignored: object) -> None:
        """End the wait, if there is one."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
