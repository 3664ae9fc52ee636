"""A bounded number of threads that run functions, and the queue before them."""

from __future__ import annotations

import atexit
import os
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from queue import SimpleQueue
from threading import RLock, Thread
from typing import Any
from weakref import WeakSet

from .jobs import Job


class Worker:
    """A thread, which ends when it finds None in its inbox."""

    __slots__ = ("inbox", "number", "retires", "thread")

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.retires = False
        self.inbox: SimpleQueue[Job | None] = SimpleQueue()
        # A daemon, for Python waits for others before it lets anybody end those that are idle.
        # For those that work, _finish_at_exit() waits.
        self.thread = Thread(target=_work, args=(self.inbox, self), name=name, daemon=True)


class WorkerThreads(Executor):
    """Runs functions in at most ``max`` threads, in the order in which they came.

    A thread is made when all others are in use. An idle one keeps nothing alive: those of an
    object that is gone end. The lock is one that a thread can take twice: the garbage collector
    may run in the midst of us, and a destructor give up a job.
    """

    def __init__(self, name: str, max_threads: int) -> None:
        self.name = name
        self.max = max_threads
        self.uses = 0
        self._begin()
        _all_threads.add(self)

    def _begin(self) -> None:
        self._lock = RLock()
        self._waiting: OrderedDict[Job, None] = OrderedDict()
        self._workers: dict[int, Worker] = {}
        self._idle: list[Worker] = []

    def _begin_in_child(self) -> None:
        for worker in self._workers.values():
            worker.retires = True  # one may be here: that in whose function the fork was
        self._begin()

    @property
    def used(self) -> int:
        """How many threads run a function now."""
        return len(self._workers) - len(self._idle)

    @property
    def waiting(self) -> int:
        """How many functions wait for a thread now."""
        return len(self._waiting)

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Job:
        """Have a function run, without the caller's context; nobody need wait for it."""
        job = Job(partial(function, *args, **kwargs), self)
        with self._lock:
            self.uses += 1
            if self._idle:
                self._idle.pop().inbox.put(job)
            elif len(self._workers) == self.max or not self._start(job):
                self._waiting[job] = None
        return job

    def forget(self, job: Job) -> bool:
        """Take a job out of the queue; tell if it was there."""
        with self._lock:
            return self._waiting.pop(job, self) is None

    def go_on(self, worker: Worker) -> None:
        """Give a worker that has done its job the next one, or nothing to do."""
        with self._lock:
            if self._waiting:
                worker.inbox.put(self._waiting.popitem(last=False)[0])
            elif worker.retires:
                self._end(worker)
            else:
                self._idle.append(worker)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the threads end when nothing waits any more; what comes later gets new ones."""
        with self._lock:
            given_up = list(self._waiting) if cancel_futures else []
        for job in given_up:
            job.cancel()
        while (threads := self._retire()) and wait:
            for thread in threads:
                thread.join()

    def _retire(self) -> list[Thread]:
        with self._lock:
            threads = [worker.thread for worker in self._workers.values()]
            for worker in self._workers.values():
                worker.retires = True
            while self._idle:
                self._end(self._idle.pop())
        return threads

    def _start(self, job: Job) -> bool:
        """Begin a job in a new thread; tell if there is one."""
        number = min({*range(self.max)} - self._workers.keys())
        worker = Worker(number, f"django_loom-{self.name}_{number}")
        try:
            worker.thread.start()
        except RuntimeError:  # the system has no more → the job waits for those that are there
            if not self._workers:
                raise
            return False
        self._workers[number] = worker
        worker.inbox.put(job)
        return True

    def _end(self, worker: Worker) -> None:
        if self._workers.get(worker.number) is worker:  # it is not, in the child of its fork
            del self._workers[worker.number]
        worker.inbox.put(None)

    def __del__(self) -> None:
        for worker in getattr(self, "_idle", ()):  # a job that runs would keep us
            worker.inbox.put(None)


def _work(inbox: SimpleQueue[Job | None], worker: Worker) -> None:
    while (job := inbox.get()) is not None:
        job.perform(worker)
        del job  # before the wait: it has its result, and keeps the threads alive


_all_threads: WeakSet[WorkerThreads] = WeakSet()


@atexit.register
def _finish_at_exit() -> None:
    """Do what was handed over, as Python does for its own executors: a mail, for example."""
    for threads in list(_all_threads):
        threads.shutdown()


def _begin_in_child() -> None:
    """Forget the parent's threads, which are not here, its jobs, and a lock that one may hold."""
    for threads in list(_all_threads):
        threads._begin_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)
