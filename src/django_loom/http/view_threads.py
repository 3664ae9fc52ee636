"""The threads that synchronous views and streams run in: few, with a bounded queue."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from enum import Enum
from typing import Any, TypeVar

from django_loom.exceptions import ThreadsBusy
from django_loom.offload import Executor, ThreadStatistics

T = TypeVar("T")


class ThreadUse(Enum):
    """What threads are for, and the key of ``LOOM`` that says how many."""

    VIEWS = "THREADS"
    STREAMS = "STREAM_THREADS"


class ViewThreads:
    """Runs functions of requests in at most ``threads`` threads.

    At most ``queue`` of them wait; the next is refused. ``leases()`` is entered around each
    function, in its thread.
    """

    def __init__(
        self,
        threads: int,
        queue: int,
        leases: Callable[[], AbstractContextManager[None]] = nullcontext,
        of_what: ThreadUse = ThreadUse.VIEWS,
    ) -> None:
        self._executor = Executor(of_what.name.lower(), threads, leases)
        self._queue = queue
        self._of_what = of_what
        self._refused = 0

    async def run(
        self, function: Callable[..., T], *args: Any, refusable: bool = True, **kwargs: Any
    ) -> T:
        """Call a function in a thread, as ``Executor.run()`` does.

        :param refusable: False for what finishes a request that is under way.
        :raises ThreadsBusy: all threads are in use, and the queue is full.
        """
        if refusable:
            self._refuse_if_full()
        return await self._executor.run(function, *args, **kwargs)

    def _refuse_if_full(self) -> None:
        figures = self._executor.statistics()
        if figures.used + figures.pending_requests < figures.max + self._queue:
            return
        self._refused += 1
        raise ThreadsBusy(
            f"All {figures.max} threads for {self._of_what.name.lower()} are in use, and "
            f"{self._queue} requests wait for one. LOOM[{self._of_what.value!r}] and "
            "LOOM['THREAD_QUEUE'] set these limits; async views, and views with @on_loop, "
            "need no thread."
        )

    def statistics(self) -> ThreadStatistics:
        """Return the figures at this moment."""
        return replace(self._executor.statistics(), refused=self._refused)

    def close(self) -> None:
        """Cancel what waits; the threads end when they are idle. Later functions get new ones."""
        self._executor.close(cancel=True)
