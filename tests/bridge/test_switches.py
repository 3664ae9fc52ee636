"""An observer is told when a call's code runs in its thread, and when it does not."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import greenlet as greenlet_module
import pytest
from greenlet import greenlet

from django_loom.bridge import SyncCall, await_, observe_switches, run_sync
from tests.loops import LoopRunner

from .tools import echo

Log = list[tuple[SyncCall, bool]]


@contextmanager
def observed() -> Iterator[Log]:
    log: Log = []
    observation = observe_switches(lambda call, runs: log.append((call, runs)))
    try:
        yield log
    finally:
        observation.end()


async def log_of(*awaitables: Awaitable[object]) -> list[list[bool]]:
    """What is told of each call, of which at most one runs at any moment."""
    with observed() as log:
        await asyncio.gather(*awaitables, return_exceptions=True)
    running: list[SyncCall] = []
    for call, runs in log:
        running = [*running, call] if runs else [each for each in running if each is not call]
        assert len(running) <= 1
    assert running == []
    calls = dict.fromkeys(call for call, _ in log)
    return [[runs for each, runs in log if each is call] for call in calls]


def waits(times: int) -> None:
    for _ in range(times):
        await_(asyncio.sleep(0))


@pytest.mark.parametrize("times", [0, 1, 3])
def test_it_is_told_of_each_piece_between_waits(loop_runner: LoopRunner, times: int) -> None:
    told = loop_runner(log_of, run_sync(waits, times))
    assert told == [[True, False] * (times + 1)]


def test_calls_at_once_are_told_apart(loop_runner: LoopRunner) -> None:
    told = loop_runner(log_of, run_sync(waits, 1), run_sync(waits, 2))
    assert sorted(told) == sorted([[True, False] * 2, [True, False] * 3])


def test_a_librarys_greenlet_is_in_its_call(loop_runner: LoopRunner) -> None:
    def function() -> None:
        greenlet(waits).switch(1)
        greenlet(lambda: None).switch()

    assert loop_runner(log_of, run_sync(function)) == [[True, False] * 2]


def test_greenlets_beside_calls_are_not_told_of(loop_runner: LoopRunner) -> None:
    async def beside() -> None:
        greenlet(lambda: None).switch()

    assert loop_runner(log_of, beside()) == []


def fail() -> None:
    waits(1)
    raise ValueError


async def cancelled() -> None:
    task = asyncio.create_task(run_sync(waits, 10))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def closed() -> None:
    coroutine = run_sync(waits, 1)
    coroutine.send(None)
    coroutine.close()


@pytest.mark.parametrize("end", [lambda: run_sync(fail), cancelled, closed])
def test_it_is_told_of_each_end(
    loop_runner: LoopRunner, end: Callable[[], Awaitable[object]]
) -> None:
    async def main() -> list[list[bool]]:
        return await log_of(end())

    (told,) = loop_runner(main)
    assert told[-2:] == [True, False]


def test_code_in_the_call_below_another_is_told_once(loop_runner: LoopRunner) -> None:
    """A call that awaits another is waiting meanwhile."""

    def outer() -> Any:
        return await_(run_sync(lambda: await_(echo(1))))

    told = loop_runner(log_of, run_sync(outer))
    assert sorted(told) == [[True, False] * 2, [True, False] * 2]


def test_other_threads_are_not_observed() -> None:
    ended: list[bool] = []

    def other() -> None:
        asyncio.run(run_sync(waits, 1))
        ended.append(True)

    with observed() as log:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert ended
    assert log == []


def test_nothing_is_left_at_its_end(loop_runner: LoopRunner) -> None:
    before = greenlet_module.gettrace()
    loop_runner(log_of, run_sync(waits, 1))
    assert greenlet_module.gettrace() is before is None


def test_another_trace_function_is_told_as_well(loop_runner: LoopRunner) -> None:
    events: list[str] = []
    greenlet_module.settrace(lambda event, switch: events.append(event))
    try:
        assert loop_runner(log_of, run_sync(waits, 1)) == [[True, False] * 2]
        assert len(events) >= 4
        events.clear()
        loop_runner(run_sync, waits, 1)
        assert events  # it is there still
    finally:
        greenlet_module.settrace(None)


def test_one_that_was_set_later_stays(loop_runner: LoopRunner) -> None:
    events: list[str] = []

    async def main() -> None:
        with observed() as log:
            ours = greenlet_module.gettrace()
            greenlet_module.settrace(lambda *args: (events.append(args[0]), ours(*args)))
            await run_sync(waits, 1)
            told = len(log)
            assert told
        await run_sync(waits, 1)
        assert len(log) == told

    try:
        loop_runner(main)
        assert len(events) >= 8
    finally:
        greenlet_module.settrace(None)


def test_an_observer_that_fails_harms_no_code(
    loop_runner: LoopRunner, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[bool] = []

    def fails(call: SyncCall, runs: bool) -> None:
        told.append(runs)
        raise ValueError("of the observer")

    async def main() -> int:
        observation = observe_switches(fails)
        try:
            return await run_sync(lambda: waits(2) or 5)
        finally:
            observation.end()

    with caplog.at_level(logging.ERROR, "django_loom"):
        assert loop_runner(main) == 5
    assert told == [True]
    (record,) = caplog.records
    assert "of the observer" in str(record.exc_info)
