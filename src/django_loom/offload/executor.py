"""Leaving the loop for work that would block it, and coming back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async

from django_loom.bridge import await_, current_call

from .jobs import Flow, Job, Leases
from .workers import WorkerThreads

T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class ThreadStatistics:
    """The figures of the threads at one moment."""

    max: int
    used: int
    pending_requests: int
    refused: int
    uses: int


class Executor:
    """Runs functions in at most ``threads`` threads, which are made when they are needed.

    ``name`` is what they are for. ``leases()`` is entered around each function, in its thread.
    A caller that is cancelled takes its function out of the queue, or waits for it to end, as
    it uses what is the caller's. A second cancellation ends that wait, but where
    ``until_done`` says that it must not.
    """

    def __init__(
        self, name: str, threads: int, leases: Leases = nullcontext, *, until_done: bool = False
    ) -> None:
        self._threads = WorkerThreads(name, threads)
        self._leases = leases
        self._until_done = until_done

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a thread; contexts and ``async_to_sync()`` are as with asgiref."""
        submission = _Submission(self._threads)
        flow = Flow(partial(function, *args, **kwargs), self._leases)
        del function, args, kwargs  # which end in the thread, if nobody else has them
        in_thread: Any = sync_to_async(flow, thread_sensitive=False, executor=submission)  # type: ignore[call-overload]
        try:
            result: T = await in_thread()
            return result
        except BaseException as error:
            await self._leave(submission.job, error)
            raise
        finally:
            submission.job = None  # this frame is in the traceback of its exception

    async def run_bare(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that runs no code of the project: in no context, without leases.

        It takes half the time.
        """
        job = self._threads.submit(function, *args, **kwargs)
        try:
            result: T = await asyncio.wrap_future(job)
            return result
        except BaseException as error:
            await self._leave(job, error)
            raise
        finally:
            del job

    async def _leave(self, job: Job | None, error: BaseException) -> None:
        """Return when a job has ended, or will not begin, for a caller that was cancelled."""
        if job is None or job.cancel() or job.done() or isinstance(error, GeneratorExit):
            return  # in the last case the caller is freed, and can't wait
        end = asyncio.get_running_loop().create_future()
        # It may end just now → the thread has nobody to tell → then this is called right here.
        job.add_done_callback(lambda job: _tell(end))
        while not end.done():
            try:
                await asyncio.wait([end])
            except asyncio.CancelledError:
                if not self._until_done:
                    raise

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a thread if the caller, synchronous code, is on a loop; else here."""
        if current_call() is None:
            return function(*args, **kwargs)
        return await_(self.run(function, *args, **kwargs))

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Have a function run for which nobody need wait, in no context and without leases."""
        return self._threads.submit(function, *args, **kwargs)

    def statistics(self) -> ThreadStatistics:
        """Return the figures at this moment."""
        threads = self._threads
        return ThreadStatistics(threads.max, threads.used, threads.waiting, 0, threads.uses)

    def close(self, *, cancel: bool = False) -> None:
        """Let the threads end when they are idle. Later functions get new ones.

        :param cancel: cancel the functions that wait for a thread, too.
        """
        self._threads.shutdown(wait=False, cancel_futures=cancel)


class _Submission:
    """Stands for the threads in one call of asgiref's, to know the job that comes of it."""

    __slots__ = ("_threads", "job")

    def __init__(self, threads: WorkerThreads) -> None:
        self._threads = threads
        self.job: Job | None = None

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Job:
        self.job = self._threads.submit(function, *args)
        return self.job


def _tell(end: asyncio.Future[None]) -> None:
    with suppress(RuntimeError):  # the loop was closed: nobody waits
        end.get_loop().call_soon_threadsafe(_set, end)


def _set(end: asyncio.Future[None]) -> None:
    if not end.done():
        end.set_result(None)
