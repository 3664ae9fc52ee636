"""Measures one contender in a process of its own. Reads a specification, prints samples."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

from benchmarks.contenders import EXPECTED, Contender, load
from benchmarks.database import Target
from benchmarks.harness import loop_factory, read_spec

WARM_UP = 0.2  # of the measured time: caches fill, the interpreter specialises


class WrongAnswer(Exception):
    """An operation didn't do what it is measured for."""


@dataclass
class Sample:
    """`operations` finished in `seconds`, for `cpu` seconds of this process, all its threads."""

    operation: str
    operations: int
    seconds: float
    cpu: float


def check(name: str, n: int, answer: int) -> None:
    expected = EXPECTED[name](n)
    if answer != expected and not (expected is None and answer):
        raise WrongAnswer(f"{name}({n}) answered {answer!r} instead of {expected!r}")


async def measure(contender: Contender, name: str, tasks: int, seconds: float) -> Sample:
    """All tasks warm up, the first operation checked for its result, then start together."""
    operation = contender.operations[name]
    ready, finished = asyncio.Barrier(tasks + 1), asyncio.Barrier(tasks + 1)
    warm, deadline = perf_counter() + seconds * WARM_UP, 0.0

    async def run(task: int) -> int:
        # Ranges that don't overlap: no two tasks update one row.
        first, done = task * 50, 0
        async with contender.task():
            check(name, first, await operation(first))
            while perf_counter() < warm:
                await operation(first)
            await ready.wait()
            await ready.wait()
            while perf_counter() < deadline:
                done += 1
                await operation(first + done % 50)
            await finished.wait()
        return done

    async with asyncio.TaskGroup() as group:
        running = [group.create_task(run(task)) for task in range(tasks)]
        await ready.wait()
        gc.collect()
        started, cpu = perf_counter(), process_time()
        deadline = started + seconds
        await ready.wait()
        await finished.wait()
        took, used = perf_counter() - started, process_time() - cpu
    return Sample(name, sum(t.result() for t in running), round(took, 6), round(used, 6))


def measure_sync(contender: Contender, name: str, seconds: float) -> Sample:
    operation = contender.operations[name]
    check(name, 0, operation(0))
    warm = perf_counter() + seconds * WARM_UP
    while perf_counter() < warm:
        operation(0)
    gc.collect()
    done, started, cpu = 0, perf_counter(), process_time()
    while perf_counter() < started + seconds:
        done += 1
        operation(done)
    return Sample(name, done, round(perf_counter() - started, 6), round(process_time() - cpu, 6))


async def measure_all(contender: Contender, spec: dict[str, Any]) -> list[Sample]:
    await contender.open(Target(**spec["target"]), spec["connections"])
    samples = []
    for name in spec["operations"]:
        samples.append(await measure(contender, name, spec["tasks"], spec["seconds"]))
    await contender.close()
    return samples


def measure_all_sync(contender: Contender, spec: dict[str, Any]) -> list[Sample]:
    # Only opened on a loop: Django's sync code must not see one.
    asyncio.run(contender.open(Target(**spec["target"]), spec["connections"]))
    return [measure_sync(contender, name, spec["seconds"]) for name in spec["operations"]]


def main() -> None:
    spec = read_spec()
    contender = load(spec["contender"])
    if contender.synchronous:
        samples = measure_all_sync(contender, spec)
    else:
        with asyncio.Runner(loop_factory=loop_factory(spec["loop"])) as runner:
            samples = runner.run(measure_all(contender, spec))
    json.dump([vars(sample) for sample in samples], sys.stdout)


if __name__ == "__main__":
    main()
