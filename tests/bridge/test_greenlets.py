"""Greenlets are used again, and nothing of one call is there in the next."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from django_loom.bridge import await_, current_call, run_sync
from django_loom.bridge.greenlets import MAX_RESTING, resting
from tests.loops import LOOPS, LoopRunner, new_loop

from .tools import Held, calls_in_use, double, echo

variable: ContextVar[Any] = ContextVar("variable")


class Thing:
    """Something that can be watched for its end."""


def test_the_greenlet_of_a_call_that_returned_is_used_again(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        first = await run_sync(current_call)
        assert first in resting
        assert await run_sync(current_call) is first
        assert await run_sync(lambda: await_(echo(current_call()))) is first

    loop_runner(main)


def test_a_call_that_runs_shares_its_greenlet_with_no_other(loop_runner: LoopRunner) -> None:
    def function() -> tuple[Any, Any]:
        return current_call(), await_(run_sync(current_call))

    async def main() -> None:
        outer, inner = await run_sync(function)
        assert outer is not inner
        calls = await asyncio.gather(
            *(run_sync(lambda: (current_call(), await_(echo(1)))) for _ in range(5))
        )
        assert len({call for call, _ in calls}) == 5

    loop_runner(main)


def test_a_greenlet_that_failed_is_not_used_again(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        calls: list[Any] = []

        def function() -> None:
            calls.append(current_call())
            raise LookupError

        with pytest.raises(LookupError):
            await run_sync(function)
        assert calls[0].dead
        assert calls[0] not in resting

    loop_runner(main)


def test_the_next_call_starts_clean(loop_runner: LoopRunner) -> None:
    def function() -> None:
        current_call().resources = {"held": Held([])}  # type: ignore[union-attr]

    def seen() -> Any:
        call = current_call()
        assert call is not None
        return call, call.resources, call.closing

    async def main() -> None:
        await run_sync(function)
        assert await run_sync(seen) == (resting[-1], None, False)

    loop_runner(main)


@pytest.fixture
def none_at_rest() -> Iterator[None]:
    before = list(resting)
    resting.clear()
    yield
    resting[:0] = before
    while len(resting) > MAX_RESTING:  # there were as many as can rest
        resting.pop().throw()


@pytest.mark.usefixtures("none_at_rest")
def test_a_greenlet_at_rest_keeps_nothing_of_its_call(loop_runner: LoopRunner) -> None:
    things: list[weakref.ref[Any]] = []

    def watched(thing: Any) -> Any:
        things.append(weakref.ref(thing))
        return thing

    def function(argument: Any, keyword: Any) -> Any:
        variable.set(watched(Thing()))
        current_call().resources = {"held": watched(Held([]))}  # type: ignore[union-attr]
        local = watched(Thing())
        assert isinstance(await_(echo(watched(Thing()))), Thing)
        del local
        return watched(Thing())

    async def call() -> None:
        def closure(argument: Any, keyword: Any) -> Any:
            return function(argument, keyword)

        await run_sync(watched(closure), watched(Thing()), keyword=watched(Thing()))

    async def main() -> None:
        for _ in range(2):  # for a new greenlet and for one that was used before
            await asyncio.create_task(call())
            await asyncio.sleep(0)  # until then the loop keeps the task's context
            assert len(things) == 8
            assert [thing() for thing in things] == [None] * 8
            things.clear()

    loop_runner(main)


def test_a_greenlet_at_rest_does_not_keep_the_loop() -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(run_sync(double, 1))
    loop.close()
    gone = weakref.ref(loop)
    del loop
    assert gone() is None


def test_the_number_of_greenlets_at_rest_is_bounded(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        await asyncio.gather(*(run_sync(double, each) for each in range(3 * MAX_RESTING)))

    loop_runner(main)
    assert len(resting) == MAX_RESTING
    assert len(set(resting)) == MAX_RESTING
    assert calls_in_use() == []


@pytest.mark.parametrize("kind", LOOPS)
def test_greenlets_of_other_threads_end_with_their_calls(kind: str) -> None:
    results: list[Any] = []

    async def main() -> None:
        results.extend(await asyncio.gather(*(run_sync(double, each) for each in range(5))))

    def in_thread() -> None:
        loop = new_loop(kind)
        loop.run_until_complete(main())
        loop.close()

    before = list(resting)
    thread = threading.Thread(target=in_thread, daemon=True)
    thread.start()
    thread.join()
    assert results == [0, 2, 4, 6, 8]
    assert resting == before
    assert calls_in_use() == []


PROGRAM = """
import asyncio, os, sys
from django_loom.bridge import await_, run_sync

async def echo(value):
    await asyncio.sleep(0)
    return value

def function(value):
    return await_(echo(value))

async def main():
    assert await asyncio.gather(*(run_sync(function, n) for n in range(3))) == [0, 1, 2]

"""


@pytest.mark.parametrize(
    "end",
    [
        "asyncio.run(main())",
        "loop = asyncio.new_event_loop()\n"
        "coroutine = run_sync(function, loop.create_future())\n"
        "loop.run_until_complete(main())\n"
        "loop.close()\n"
        "coroutine.close()",
        "asyncio.run(main())\n"
        "if os.fork():\n"
        "    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))\n"
        "asyncio.run(main())",
        "import threading\n"
        "thread = threading.Thread(target=asyncio.run, args=[main()])\n"
        "thread.start(); thread.join(); asyncio.run(main())",
    ],
    ids=["with greenlets at rest", "with a closed loop", "after a fork", "after a thread"],
)
def test_a_process_ends_in_silence(end: str) -> None:
    command = [sys.executable, "-W", "error", "-c", PROGRAM + end]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_import_in_another_thread_only_means_that_none_is_used_again() -> None:
    program = (
        "import importlib, threading\n"
        "thread = threading.Thread(target=importlib.import_module, args=['django_loom.bridge'])\n"
        "thread.start(); thread.join()\n"
    )
    check = (
        "asyncio.run(main())\nfrom django_loom.bridge.greenlets import resting\nassert not resting"
    )
    command = [sys.executable, "-W", "error", "-c", program + PROGRAM + check]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# A frame of the thread, in the traceback of an exception, is all that has its main greenlet; it is
# garbage, and the thread ends while that is collected.
THREAD_THAT_ENDS_IN_A_COLLECTION = """
import gc, threading
from greenlet import getcurrent
import django_loom.bridge

class Garbage:
    def __init__(self):
        self.me = self

    def __del__(self):
        go_on.set()
        thread.join()
        for turn in range(1000):  # greenlet's end of the thread comes in one of them
            pass

def fail():
    current = getcurrent()
    raise ValueError

def work():
    garbage = Garbage()
    try:
        fail()
    except ValueError as error:
        garbage.error = error.with_traceback(error.__traceback__.tb_next)
    del garbage
    begun.set()
    go_on.wait()

gc.disable()
begun, go_on = threading.Event(), threading.Event()
thread = threading.Thread(target=work)
thread.start()
begun.wait()
gc.collect()
"""


def test_a_thread_that_ends_in_a_collection_crashes_nothing() -> None:
    command = [sys.executable, "-W", "error", "-c", THREAD_THAT_ENDS_IN_A_COLLECTION]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
