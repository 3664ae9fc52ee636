"""Measures the bridge and its peers on one loop, in a process of its own.

All cases take turns within each round, so that a noisy moment meets them all.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter, process_time
from typing import Any

from asgiref.sync import sync_to_async
from greenlet import greenlet
from sqlalchemy.util.concurrency import await_only, greenlet_spawn

from benchmarks.harness import loop_factory, read_spec
from django_loom.bridge import await_, observe_switches, run_sync
from django_loom.offload import Executor
from django_loom.offload.workers import WorkerThreads

# A case does its thing so many times.
Case = Callable[[int], Awaitable[object]]


def trivial() -> int:
    return 1


async def trivial_coroutine() -> int:
    return 1


def calls() -> dict[str, Case]:
    """One call of a trivial synchronous function from a coroutine."""
    sensitive = sync_to_async(trivial)
    other_thread = sync_to_async(trivial, thread_sensitive=False)

    async def bare_greenlet() -> int:
        answer: int = greenlet(trivial).switch()
        return answer

    return {
        "plain await": repeated(trivial_coroutine),
        "greenlet, bare": repeated(bare_greenlet),
        "run_sync": repeated(lambda: run_sync(trivial)),
        "run_sync, observed": observed(repeated(lambda: run_sync(trivial))),
        "SQLAlchemy greenlet_spawn": repeated(lambda: greenlet_spawn(trivial)),
        "sync_to_async": repeated(sensitive),
        "sync_to_async, not sensitive": repeated(other_thread),
        "asyncio.to_thread": repeated(lambda: asyncio.to_thread(trivial)),
        **executors(),
    }


def executors() -> dict[str, Case]:
    """The same by threads: the loop's own, and those of an executor of ours."""
    loop = asyncio.get_running_loop()
    threads, ours = WorkerThreads("hops", 1), Executor("hops", 1)
    return {
        "run_in_executor": repeated(lambda: loop.run_in_executor(None, trivial)),
        "run_in_executor, our threads": repeated(lambda: loop.run_in_executor(threads, trivial)),
        "Executor.run": repeated(lambda: ours.run(trivial)),
        "Executor.run_bare": repeated(lambda: ours.run_bare(trivial)),
    }


def repeated(call: Callable[[], Awaitable[object]]) -> Case:
    async def case(times: int) -> None:
        for _ in range(times):
            await call()

    return case


def observed(case: Case) -> Case:
    """The same while somebody is told of each switch."""

    async def measured(times: int) -> None:
        observation = observe_switches(lambda call, runs: None)
        try:
            await case(times)
        finally:
            observation.end()

    return measured


def waits() -> dict[str, Case]:
    """One wait for each kind of awaitable: plainly, from run_sync, from SQLAlchemy's greenlet."""
    ready = asyncio.get_running_loop().create_future()
    ready.set_result(1)
    kinds: dict[str, Callable[[], Awaitable[object]]] = {
        "ready future": lambda: ready,
        "trivial coroutine": trivial_coroutine,
        "one loop trip": lambda: asyncio.sleep(0),
    }
    cases: dict[str, Case] = {}
    for name, make in kinds.items():
        cases[f"await: {name}"] = repeated(make)
        cases[f"await_: {name}"] = within(run_sync, await_, make)
        cases[f"SQLAlchemy await_only: {name}"] = within(greenlet_spawn, await_only, make)
    return cases


def within(
    spawn: Callable[..., Awaitable[object]],
    wait: Callable[[Any], object],
    make: Callable[[], Awaitable[object]],
) -> Case:
    def inside(times: int) -> None:
        for _ in range(times):
            wait(make())

    return lambda times: spawn(inside, times)


async def timed(case: Case, times: int) -> tuple[float, float]:
    """Microseconds for each time: on the clock and of CPU."""
    await case(times // 20)
    gc.collect()
    wall, cpu = perf_counter(), process_time()
    await case(times)
    wall, cpu = perf_counter() - wall, process_time() - cpu
    return round(wall / times * 1e6, 3), round(cpu / times * 1e6, 3)


async def measure(rounds: int, times: int) -> list[dict[str, Any]]:
    cases = calls() | waits()
    samples = []
    for turn in range(rounds):
        for name in sorted(cases, reverse=bool(turn % 2)):
            crosses_threads = "to_" in name or "xecutor" in name
            wall, cpu = await timed(cases[name], times // 10 if crosses_threads else times)
            samples.append({"case": name, "round": turn, "wall_us": wall, "cpu_us": cpu})
    return samples


def main() -> None:
    spec = read_spec()
    with asyncio.Runner(loop_factory=loop_factory(spec["loop"])) as runner:
        json.dump(runner.run(measure(spec["rounds"], spec["times"])), sys.stdout)


if __name__ == "__main__":
    main()
