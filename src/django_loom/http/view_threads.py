"""The threads that synchronous views and streams run in: few, with a bounded queue."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, TypeVar

from asgiref.sync import sync_to_async

from django_loom.exceptions import ThreadsBusy

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ThreadStatistics:
    """The figures of the threads at one moment."""

    max: int
    used: int
    pending_requests: int
    refused: int
    uses: int


class ThreadUse(Enum):
    """What threads are for, and the key of ``LOOM`` that says how many."""

    VIEWS = "THREADS"
    STREAMS = "STREAM_THREADS"


class ViewThreads:
    """Runs functions of requests in at most ``threads`` threads.

    At most ``queue`` of them wait; the next is refused. Threads are made when they
    are first needed. ``leases()`` is entered around each function, in its thread.
    """

    def __init__(
        self,
        threads: int,
        queue: int,
        leases: Callable[[], AbstractContextManager[None]] = nullcontext,
        of_what: ThreadUse = ThreadUse.VIEWS,
    ) -> None:
        self._threads = threads
        self._queue = queue
        self._leases = leases
        self._of_what = of_what
        self._executor = self._new_executor()
        self._present = self._refused = self._uses = 0

    async def run(
        self, function: Callable[..., T], *args: Any, refusable: bool = True, **kwargs: Any
    ) -> T:
        """Call a function in a thread; contexts and ``async_to_sync()`` are as with asgiref.

        A cancelled caller waits for its function to end, which uses the caller's request.
        A second cancellation ends that wait.

        :param refusable: False for what finishes a request that is under way.
        :return: what the function returns.
        :raises ThreadsBusy: all threads are in use, and the queue is full.
        """
        if refusable and self._present >= self._threads + self._queue:
            self._refused += 1
            raise ThreadsBusy(
                f"All {self._threads} threads for {self._of_what.name.lower()} are in use, and "
                f"{self._queue} requests wait for one. LOOM[{self._of_what.value!r}] and "
                "LOOM['THREAD_QUEUE'] set these limits; async views, and views with @on_loop, "
                "need no thread."
            )
        job = _Job(partial(function, *args, **kwargs), self._leases)
        self._present += 1
        self._uses += 1
        try:
            result: T = await sync_to_async(job, thread_sensitive=False, executor=self._executor)()
            return result
        finally:
            try:
                await job.wait_until_ended()
            finally:
                self._present -= 1

    def statistics(self) -> ThreadStatistics:
        """Return the figures at this moment."""
        used = min(self._present, self._threads)
        return ThreadStatistics(
            max=self._threads,
            used=used,
            pending_requests=self._present - used,
            refused=self._refused,
            uses=self._uses,
        )

    def close(self) -> None:
        """Cancel what waits; the threads end when they are idle. Later functions get new ones."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._executor = self._new_executor()

    def _new_executor(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads, thread_name_prefix="django_loom")


class _Job:
    """A function on its way through a thread.

    A cancellation may come in the very moment in which the thread begins or ends. The
    lock makes one of them the first: a job that was given up before it began never
    runs, and who gives up one that runs is told of its end.
    """

    # No __dict__, which asgiref copies: a job that was given up stays in the executor's
    # queue until a thread comes to it, and must not keep its request alive.
    __slots__ = ("_begun", "_end", "_ended", "_function", "_leases", "_lock")

    def __init__(
        self, function: Callable[[], Any], leases: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._function: Callable[[], Any] | None = function
        self._leases = leases
        self._lock = threading.Lock()
        self._begun = self._ended = False
        self._end: asyncio.Future[None] | None = None

    def __call__(self) -> Any:
        with self._lock:
            function, self._function = self._function, None
            if function is None:
                return None
            self._begun = True
        try:
            with self._leases():
                try:
                    return function()
                finally:
                    # The executor lets go of us later, outside the unit. Where that drops the
                    # last reference to a request, what its destructors lease would be the
                    # bare thread's → they run here.
                    del function
        finally:
            with self._lock:
                self._ended = True
            if self._end is not None:
                with suppress(RuntimeError):  # the loop was closed: nobody waits
                    self._end.get_loop().call_soon_threadsafe(self._tell)

    async def wait_until_ended(self) -> None:
        """Return when the thread is done with the function, or will not begin it."""
        with self._lock:
            if not self._begun:
                self._function = None
                return
            if self._ended:
                return
            self._end = asyncio.get_running_loop().create_future()
        await self._end

    def _tell(self) -> None:
        if self._end is not None and not self._end.done():
            self._end.set_result(None)
