"""What threads are given to do."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .workers import Worker, WorkerThreads

Leases = Callable[[], AbstractContextManager[None]]


class Job(Future[Any]):
    """A function that waits for a thread, or runs in one.

    Cancelled while it waits it leaves the queue, where a future of the standard library's
    executors stays until a thread comes to it.
    """

    def __init__(self, function: Callable[[], Any], threads: WorkerThreads) -> None:
        super().__init__()
        self._function = [function]
        self._threads = threads

    def cancel(self) -> bool:
        """Give the job up, if it has not begun; tell if it never will."""
        # A thread may have taken it from the queue, and be about to begin → it must not, as the
        # caller goes on → the lock of the future makes one of both the first.
        if not super().cancel():
            return False
        self._function.clear()
        if self._threads.forget(self):
            self.set_running_or_notify_cancel()  # in place of a thread, which would tell waiters
        return True

    def perform(self, worker: Worker) -> None:
        """Run the function, in the worker's thread, unless it was given up."""
        if not self.set_running_or_notify_cancel():
            self._threads.go_on(worker)
            return
        result, error = _outcome(self._function.pop())
        # Whoever waits may look at the figures at once, or bring the next job → it would find
        # a thread in use that is not → the thread is free first.
        self._threads.go_on(worker)
        if error is None:
            self.set_result(result)
        else:
            self.set_exception(error)


class Flow:
    """A function for a thread: one flow, whose leases end with it.

    It has no ``__dict__``, which asgiref would copy, and lets go of the function when it is
    called: what the function alone keeps, as a request, ends in the flow. Whoever has made the
    flow, and the thread, let go of it outside.
    """

    __slots__ = ("_function", "_leases")

    def __init__(self, function: Callable[[], Any], leases: Leases) -> None:
        self._function = [function]
        self._leases = leases

    def __call__(self) -> Any:
        with self._leases():
            return self._function.pop()()


def _outcome(function: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    # Apart, as this frame is in the traceback of the error, and has nothing of the job's.
    try:
        return function(), None
    except BaseException as error:
        return None, error
