"""WorkerThreads: how many threads there are, what waits for one, and when they end."""

from __future__ import annotations

import concurrent.futures
import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from django_loom.offload.workers import WorkerThreads
from tests.polling import eventually

from .tools import Gate


@pytest.fixture
def threads() -> Iterator[WorkerThreads]:
    """Two threads at most."""
    made = WorkerThreads("workers", 2)
    yield made
    made.shutdown(cancel_futures=True)


def names() -> set[str]:
    found = {thread.name for thread in threading.enumerate()}
    return {name for name in found if name.startswith("django_loom-workers")}


def test_threads_are_made_when_they_are_needed_and_no_more_than_allowed(
    threads: WorkerThreads,
) -> None:
    gates = [Gate(number) for number in range(5)]
    assert names() == set()
    jobs = [threads.submit(gate) for gate in gates]
    assert gates[0].begun.wait(30)
    assert gates[1].begun.wait(30)
    assert names() == {"django_loom-workers_0", "django_loom-workers_1"}
    assert (threads.used, threads.waiting, threads.uses) == (2, 3, 5)
    for gate in gates:
        gate.open.set()
    assert [job.result(30) for job in jobs] == [0, 1, 2, 3, 4]
    assert (threads.used, threads.waiting, threads.uses) == (0, 0, 5)


def test_an_idle_thread_is_used_again(threads: WorkerThreads) -> None:
    idents = {threads.submit(threading.get_ident).result(30) for _ in range(20)}
    assert len(idents) == 1


def test_functions_begin_in_the_order_in_which_they_came() -> None:
    order: list[int] = []
    gate = Gate()
    threads = WorkerThreads("workers", 1)
    first = threads.submit(gate)
    jobs = [threads.submit(order.append, number) for number in range(10)]
    assert jobs[3].cancel()
    gate.open.set()
    concurrent.futures.wait([first, *jobs], 30)
    assert order == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    threads.shutdown()


def test_a_job_that_waits_can_be_cancelled_and_one_that_runs_can_not() -> None:
    gate = Gate("done")
    threads = WorkerThreads("workers", 1)
    running = threads.submit(gate)
    waiting = threads.submit(int)
    assert gate.begun.wait(30)
    assert waiting.cancel()
    assert waiting.cancel()  # again, as asyncio does
    assert not running.cancel()
    assert threads.waiting == 0
    assert concurrent.futures.wait([waiting], 30).done == {waiting}
    gate.open.set()
    assert running.result(30) == "done"
    assert not running.cancel()
    threads.shutdown()


def test_a_job_is_given_up_when_a_thread_has_it_but_has_not_begun(
    threads: WorkerThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread passes it over, and goes on."""
    from django_loom.offload import jobs

    has_it, go = threading.Event(), threading.Event()
    begin = jobs.Job.set_running_or_notify_cancel

    def set_running_or_notify_cancel(job: jobs.Job) -> bool:
        has_it.set()
        assert go.wait(30)
        return begin(job)

    monkeypatch.setattr(jobs.Job, "set_running_or_notify_cancel", set_running_or_notify_cancel)
    gate = Gate()
    job = threads.submit(gate)
    assert has_it.wait(30)
    assert job.cancel()
    go.set()
    assert threads.submit(int).result(30) == 0
    eventually(lambda: threads.used == 0)
    assert not gate.begun.is_set()


def test_a_job_that_was_cancelled_keeps_no_function(threads: WorkerThreads) -> None:
    gates = [Gate(), Gate()]
    running = [threads.submit(gate) for gate in gates]
    request = Gate()
    kept = weakref.ref(request)
    job = threads.submit(id, request)
    del request
    assert job.cancel()
    assert kept() is None
    for gate in gates:
        gate.open.set()
    concurrent.futures.wait(running, 30)


def test_whoever_hears_of_the_end_finds_the_thread_free(threads: WorkerThreads) -> None:
    seen: list[int] = []
    gate = Gate()
    job = threads.submit(gate)
    job.add_done_callback(lambda job: seen.append(threads.used))
    gate.open.set()
    job.result(30)
    eventually(lambda: seen)
    assert seen == [0]


@pytest.mark.parametrize("cancel", [True, False])
def test_after_shutdown_threads_end_when_nothing_waits(
    threads: WorkerThreads, cancel: bool
) -> None:
    gates = [Gate(), Gate()]
    running = [threads.submit(gate) for gate in gates]
    waiting = threads.submit(int)
    threads.shutdown(wait=False, cancel_futures=cancel)
    assert waiting.cancelled() == cancel
    for gate in gates:
        gate.open.set()
    concurrent.futures.wait([*running, waiting], 30)
    eventually(lambda: names() == set())
    assert threads.submit(int).result(30) == 0  # a process may serve twice, as tests do
    assert names() == {"django_loom-workers_0"}


def test_threads_that_shut_down_still_count(threads: WorkerThreads) -> None:
    gates = [Gate(), Gate()]
    running = [threads.submit(gate) for gate in gates]
    threads.shutdown(wait=False)
    late = threads.submit(int)
    assert (threads.used, threads.waiting) == (2, 1)
    for gate in gates:
        gate.open.set()
    assert late.result(30) == 0
    concurrent.futures.wait(running, 30)


def test_shutdown_waits_for_what_a_function_hands_over(threads: WorkerThreads) -> None:
    done: list[int] = []

    def first() -> None:
        threads.submit(lambda: (gate(), threads.submit(done.append, 1)))

    gate = Gate()
    gate.open.set()
    threads.submit(first)
    threads.shutdown()
    assert done == [1]


def test_idle_threads_of_an_object_that_is_gone_end() -> None:
    threads = WorkerThreads("workers", 2)
    threads.submit(int).result(30)
    gone = weakref.ref(threads)
    del threads
    gc.collect()
    assert gone() is None
    eventually(lambda: names() == set())


def test_without_another_thread_of_the_system_a_job_waits(
    threads: WorkerThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    gate = Gate()
    running = threads.submit(gate)
    monkeypatch.setattr(threading.Thread, "start", start)
    waiting = threads.submit(int)
    assert (threads.used, threads.waiting) == (1, 1)
    gate.open.set()
    assert waiting.result(30) == 0
    running.result(30)


def test_without_any_thread_of_the_system_the_caller_is_told(
    threads: WorkerThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="can't start"):
        threads.submit(int)
    assert (threads.used, threads.waiting) == (0, 0)


def test_a_destructor_may_give_up_a_job_in_the_midst_of_a_submission(
    threads: WorkerThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the garbage collector may run anywhere."""
    gates = [Gate(), Gate()]
    running = [threads.submit(gates[0])]
    given_up = threads.submit(gates[1])
    start = threading.Thread.start
    queued = [given_up]

    def collecting_start(thread: threading.Thread) -> None:
        queued.pop().cancel()
        start(thread)

    threads.max = 3
    monkeypatch.setattr(threading.Thread, "start", collecting_start)
    running.append(threads.submit(int))
    for gate in gates:
        gate.open.set()
    concurrent.futures.wait([*running, given_up], 30)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("held", [False, True])
def test_the_child_of_a_fork_begins_anew(threads: WorkerThreads, held: bool) -> None:
    """Whatever the parent's threads do, and whoever has the lock at that moment."""
    gates = [Gate(), Gate()]
    running = [threads.submit(gate) for gate in gates]
    waiting = threads.submit(int)
    took, release = threading.Event(), threading.Event()

    def hold() -> None:
        with threads._lock:
            took.set()
            release.wait(30)

    holder = threading.Thread(target=hold)
    if held:
        holder.start()
        assert took.wait(30)
    child = os.fork()
    if not child:
        try:
            right = threads.used == 0 and threads.submit(int, "7").result(30) == 7
            threads.shutdown()
            os._exit(0 if right else 1)
        finally:
            os._exit(2)
    release.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for gate in gates:
        gate.open.set()
    concurrent.futures.wait([*running, waiting], 30)
    assert threads.used == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_function_may_fork_and_its_thread_ends_in_the_child(threads: WorkerThreads) -> None:
    def fork() -> int:
        return os.fork()

    def child_of(job: concurrent.futures.Future[int]) -> None:
        if not job.result():
            os._exit(0 if (threads.used, threads.submit(int).result(30)) == (0, 0) else 1)

    job = threads.submit(fork)
    job.add_done_callback(child_of)
    assert os.waitstatus_to_exitcode(os.waitpid(job.result(30), 0)[1]) == 0


def exits(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + program],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


PRELUDE = """
import threading
from django_loom.offload.workers import WorkerThreads
threads = WorkerThreads("workers", 1)
"""


def test_python_ends_though_threads_are_idle() -> None:
    assert exits("threads.submit(print, 'done').result()") == "done\n"


def test_python_does_not_end_before_what_was_handed_over_is_done() -> None:
    program = """
ending = threading.Event()
threads.submit(ending.wait)
for number in range(3):
    threads.submit(print, number)
threading.Thread(target=lambda: (threading.main_thread().join(), ending.set())).start()
"""
    assert exits(program) == "0\n1\n2\n"


def test_an_executor_of_a_process_of_multiprocessing_ends_too() -> None:
    program = """
import multiprocessing
child = multiprocessing.get_context("fork").Process(target=lambda: threads.submit(int).result())
child.start(); child.join(30)
print(child.exitcode)
"""
    assert exits(program) == "0\n"


def test_an_error_that_is_no_exception_goes_to_the_caller(threads: WorkerThreads) -> None:
    def leave() -> Any:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        threads.submit(leave).result(30)
    assert threads.submit(int).result(30) == 0
