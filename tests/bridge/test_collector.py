"""Nothing waits while the garbage collector runs, which ends what it frees in any code's midst."""

from __future__ import annotations

import asyncio
import gc
import inspect
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_loom.bridge import (
    Lock,
    Waiter,
    await_,
    is_collecting,
    run_sync,
    suspend,
)
from django_loom.exceptions import BridgeError
from django_loom.offload import executor
from tests.loops import LoopRunner

from .tools import echo, untraced


@pytest.fixture(autouse=True)
def only_on_request() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Finalized:
    """Runs a function when the garbage collector frees it, and notes what came of it."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.me = self
        self.function = function

    def __del__(self) -> None:
        outcomes.append(outcome(self.function))


outcomes: list[Any] = []


def outcome(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except BaseException as error:
        return type(error), str(error)


def collected(function: Callable[[], Any]) -> Any:
    """Return the outcome of a function that the garbage collector calls in a `__del__`."""
    outcomes.clear()
    Finalized(function)
    gc.collect()
    assert len(outcomes) == 1
    return outcomes.pop()


def assert_refused(got: Any, match: str) -> None:
    error, message = got
    assert error is BridgeError
    assert match in message


def test_it_tells_so_in_a_finalizer_only() -> None:
    assert not is_collecting()
    assert collected(is_collecting) is True
    assert not is_collecting()


def test_it_tells_so_after_a_collection_that_found_nothing() -> None:
    gc.collect()
    assert not is_collecting()


def test_a_finalizer_without_the_collector_is_code_as_any(loop_runner: LoopRunner) -> None:
    def function() -> None:
        outcomes.clear()
        finalized = Finalized(lambda: (is_collecting(), await_(echo("waited"))))
        del finalized.me
        del finalized
        assert outcomes == [(False, "waited")]

    loop_runner(run_sync, function)


def test_other_threads_are_not_refused_meanwhile(loop_runner: LoopRunner) -> None:
    seen: list[Any] = []

    def elsewhere() -> None:
        seen.append(is_collecting())
        seen.append(asyncio.run(run_sync(lambda: await_(echo("waited")))))
        waiter = Waiter()
        waiter.wait(0)

    def finalizer() -> bool:
        thread = threading.Thread(target=elsewhere, daemon=True)
        thread.start()
        thread.join()
        return is_collecting()

    def function() -> Any:
        return collected(finalizer)

    assert loop_runner(run_sync, function) is True
    assert seen == [False, "waited"]


@pytest.mark.parametrize("wait", [await_, suspend])
def test_a_wait_in_a_finalizer_is_refused(
    loop_runner: LoopRunner, wait: Callable[[Any], Any]
) -> None:
    def function() -> Any:
        coroutine = echo("never runs")
        assert_refused(collected(lambda: wait(coroutine)), "by the garbage collector")
        assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
        return wait(echo("went on"))

    assert loop_runner(run_sync, function) == "went on"


def test_a_wait_in_the_end_of_a_generator_is_refused(loop_runner: LoopRunner) -> None:
    def generator() -> Iterator[Any]:
        me = yield
        try:
            yield me
        finally:
            outcomes.append(outcome(lambda: await_(echo("never runs"))))

    def function() -> Any:
        outcomes.clear()
        left = generator()
        next(left)
        left.send(left)  # type: ignore[attr-defined]
        del left
        gc.collect()
        assert_refused(outcomes.pop(), "by the garbage collector")
        return await_(echo("went on"))

    assert loop_runner(run_sync, function) == "went on"


def test_work_for_a_thread_is_refused(loop_runner: LoopRunner) -> None:
    def function() -> None:
        assert_refused(collected(lambda: executor("mail").call(int)), "by the garbage collector")

    loop_runner(run_sync, function)


def wait_for_a_lock(lock: Lock) -> None:
    """Wait for a held lock in the collector, and check that nothing is left of that."""
    assert_refused(collected(lock.acquire), "garbage collector")
    assert lock.locked()
    lock.release()
    assert not lock.locked()


def take_a_free_lock(lock: Lock) -> None:
    assert collected(lock.acquire) is True
    lock.release()


def wait_for_a_waiter(lock: Lock) -> None:
    assert_refused(collected(lambda: Waiter().wait(60)), "garbage collector")
    lock.release()


WITH_LOCKS = pytest.mark.parametrize("function", [wait_for_a_lock, wait_for_a_waiter])


@WITH_LOCKS
def test_locks_in_a_call(loop_runner: LoopRunner, function: Callable[[Lock], None]) -> None:
    lock = Lock()
    lock.acquire()
    loop_runner(run_sync, function, lock)


@WITH_LOCKS
def test_locks_in_a_thread(function: Callable[[Lock], None]) -> None:
    lock = Lock()
    lock.acquire()
    thread = threading.Thread(target=lambda: done.append(function(lock)), daemon=True)
    done: list[None] = []
    thread.start()
    thread.join(10)
    assert done == [None], "it waits for ever, or fails"


def test_a_free_lock_is_taken(loop_runner: LoopRunner) -> None:
    take_a_free_lock(Lock())
    loop_runner(run_sync, take_a_free_lock, Lock())


def test_a_waiter_that_is_woken_already_need_not_wait() -> None:
    waiter = Waiter()
    waiter.wake()
    assert collected(waiter.wait) is None


@untraced
def test_a_finalizer_may_set_context_variables_in_the_midst_of_set() -> None:
    """Before 3.12 Python crashes without our help, and so this is a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", SETS_IN_SET], capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


SETS_IN_SET = """
import gc
from contextvars import ContextVar, copy_context
import django_loom.bridge

variables = [ContextVar(str(number)) for number in range(40)]

class Finalized:
    def __init__(self):
        self.me = self
    def __del__(self):
        for variable in variables:
            variable.set(object())
        [b"x" * size for size in range(16, 800, 8)]  # where the freed tree was

def main():
    for number in range(400):
        gc.disable()
        garbage = [Finalized() for _ in range(5)]
        value, set_value = object(), variables[number % 40].set
        del garbage
        gc.set_threshold(gc.get_count()[0] + number % 10)  # so many objects later
        gc.enable()
        set_value(value)
        context = copy_context()
        assert all(variable.get() is context[variable] for variable in context)

copy_context().run(main)
print("done")
"""
