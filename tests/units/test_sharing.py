"""Which code sees which unit's values: tasks, calls, threads, greenlets, code that outlives."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import greenlet
import pytest
from asgiref.sync import sync_to_async

from django_loom import await_, run_sync
from django_loom.bridge import current_call, unit_of_work
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.units.tools import (
    check_values_of_unit_and_thread,
    in_another_unit,
    in_thread,
    read,
)

UNITS = 50


def test_a_unit_has_its_own_values_and_so_has_the_thread() -> None:
    check_values_of_unit_and_thread(threading.local())


def test_tasks_threads_and_calls_of_a_unit_share_its_values(loop_runner: LoopRunner) -> None:
    local = threading.local()

    def change() -> Any:
        before, local.x = read(local), read(local) + 1
        return before

    async def child() -> Any:
        return change()

    async def unit() -> list[Any]:
        with unit_of_work():
            local.x = 0
            seen = [
                change(),
                await asyncio.create_task(child()),
                await sync_to_async(change)(),
                await sync_to_async(change, thread_sensitive=False)(),
                await asyncio.to_thread(change),
                await run_sync(change),
                await run_sync(lambda: await_(child())),
                *await asyncio.gather(child(), run_sync(change)),
            ]
            return [*seen, local.x]

    assert loop_runner(unit()) == list(range(10))
    assert read(local) is None


def test_an_outermost_call_is_a_unit_and_calls_inside_are_of_it(loop_runner: LoopRunner) -> None:
    local = threading.local()

    def inner() -> Any:
        return read(local)

    def outer(value: int) -> Any:
        local.x = value
        await_(asyncio.sleep(0))
        return local.x, await_(run_sync(inner))

    async def main() -> Any:
        return await asyncio.gather(*(run_sync(outer, n) for n in range(UNITS))), read(local)

    assert loop_runner(main()) == ([(n, n) for n in range(UNITS)], None)


def test_many_units_at_once_on_a_loop_and_in_threads() -> None:
    class State(threading.local):
        def __init__(self, log: list[str]) -> None:
            self.log = [*log]

    local = State(["made"])
    threads = 4
    together = threading.Barrier(threads)

    def note(name: str) -> None:
        local.log.append(name)

    async def unit(name: str) -> None:
        with unit_of_work():
            expected = ["made"]
            for step in range(10):
                part = f"{name} {step}"
                await run_sync(note, part)
                expected.append(part)
                await asyncio.sleep(0)
                note(part)
                expected.append(part)
                if step % 5 == 0:
                    await sync_to_async(note)(part)
                    expected.append(part)
                assert local.log == expected

    async def units(thread: int) -> None:
        await asyncio.gather(*(unit(f"{thread} {n}") for n in range(UNITS)))

    def in_each_thread(thread: int) -> None:
        local.log.append(f"thread {thread}")
        together.wait(30)
        asyncio.run(units(thread))
        assert local.log == ["made", f"thread {thread}"]

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(in_each_thread, range(threads)))


def test_a_thread_with_a_copied_context_is_in_the_unit_and_one_without_is_not() -> None:
    local = threading.local()
    with unit_of_work():
        local.x = 1
        context = contextvars.copy_context()
        assert in_thread(lambda: context.run(read, local)) == 1
        assert in_thread(lambda: read(local)) is None


def test_code_that_outlives_its_unit_still_sees_its_values() -> None:
    local = threading.local()

    async def main() -> Any:
        goes_on = asyncio.Event()

        async def task() -> Any:
            await goes_on.wait()
            local.y = 2
            return vars(local)

        with unit_of_work():
            local.x = 1
            outliving = asyncio.create_task(task())
        local.x = "thread"
        with unit_of_work():
            goes_on.set()
            return await outliving

    assert asyncio.run(main()) == {"x": 1, "y": 2}


def test_a_greenlet_that_a_library_starts_in_a_call_is_in_its_unit() -> None:
    local = threading.local()

    def change() -> Any:
        seen, local.x, local.y = read(local), 2, 3
        del local.y
        return seen

    def call() -> Any:
        local.x = 1
        seen = greenlet.greenlet(change).switch()
        return seen, vars(local)

    async def main() -> Any:
        return await run_sync(call)

    assert asyncio.run(main()) == (1, {"x": 2})


class Making(threading.local):
    """In a unit, each `__init__` takes the next of the gates, and waits until that opens."""

    gates: ClassVar[list[threading.Event]] = []
    entered: ClassVar[list[threading.Event]] = []
    failing: ClassVar[set[int]] = set()

    def __init__(self) -> None:
        if not self.gates:
            return
        number = int(self.entered[0].is_set())
        self.log = [f"{number} begins"]
        self.entered[number].set()
        wait_for(self.gates[number])
        self.log.append(f"{number} ends")
        if number in self.failing:
            raise LookupError


@pytest.fixture
def making(monkeypatch: pytest.MonkeyPatch) -> Making:
    made = Making()
    monkeypatch.setattr(Making, "gates", [threading.Event(), threading.Event()])
    monkeypatch.setattr(Making, "entered", [threading.Event(), threading.Event()])
    monkeypatch.setattr(Making, "failing", set())
    return made


def wait_for(event: threading.Event) -> None:
    if current_call() is None:
        assert event.wait(30)
    else:
        await_(aeventually(event.is_set))


async def two_in_init(run: Any, making: Making) -> list[asyncio.Task[Any]]:
    flows = []
    for entered in Making.entered:
        flows.append(asyncio.create_task(run(lambda: making.log)))
        await aeventually(entered.is_set)
    return flows


in_flows = pytest.mark.parametrize("run", [run_sync, asyncio.to_thread])


@in_flows
@pytest.mark.parametrize("first", [0, 1])
def test_flows_that_meet_in_init_make_each_their_own_and_the_first_whole_stay(
    making: Making, run: Any, first: int
) -> None:
    async def main() -> None:
        with unit_of_work():
            flows = await two_in_init(run, making)
            Making.gates[first].set()
            seen = [await flows[first]]
            assert await run(lambda: making.log) is seen[0]
            assert not flows[1 - first].done()
            Making.gates[1 - first].set()
            seen.append(await flows[1 - first])
            assert seen == [[f"{first} begins", f"{first} ends"]] * 2
            assert seen[0] is seen[1] is making.log

    asyncio.run(main())


@in_flows
def test_an_init_that_fails_beside_another_leaves_nothing(making: Making, run: Any) -> None:
    Making.failing.add(0)

    async def main() -> None:
        with unit_of_work():
            flows = await two_in_init(run, making)
            Making.gates[0].set()
            with pytest.raises(LookupError):
                await flows[0]
            Making.gates[1].set()
            assert await flows[1] == ["1 begins", "1 ends"]
            assert vars(making)["log"] == ["1 begins", "1 ends"]

    asyncio.run(main())


@in_flows
def test_values_that_are_whole_after_the_end_of_their_unit(making: Making, run: Any) -> None:
    async def main() -> None:
        with unit_of_work():
            flows = await two_in_init(run, making)
            Making.gates[1].set()
            await flows[1]
        Making.gates[0].set()
        assert await flows[0] is await flows[1]

    asyncio.run(main())


def test_code_that_init_starts_sees_what_that_makes() -> None:
    class Asking(threading.local):
        def __init__(self) -> None:
            if current_call() is None:
                return
            self.seen = ["begun"]
            await_(run_sync(note, "call"))
            await_(asyncio.to_thread(note, "thread"))
            greenlet.greenlet(note).switch("greenlet")
            await_(start())

    def note(name: str) -> None:
        local.seen.append(name)

    async def outlives(goes_on: asyncio.Event) -> None:
        note("task")
        await goes_on.wait()
        note("outlives")

    async def start() -> None:
        goes_on = asyncio.Event()
        tasks.append((asyncio.create_task(outlives(goes_on)), goes_on))

    local = Asking()
    tasks: list[tuple[asyncio.Task[None], asyncio.Event]] = []

    async def main() -> None:
        with unit_of_work():
            seen = await run_sync(lambda: local.seen)
            ((task, goes_on),) = tasks
            goes_on.set()
            await task
            assert local.seen is seen
            assert seen == ["begun", "call", "thread", "greenlet", "task", "outlives"]

    asyncio.run(main())


@pytest.mark.parametrize("unit_first", [True, False])
def test_a_local_that_a_class_makes_for_each_object(unit_first: bool) -> None:
    class Registry:
        shared = threading.local()

        def __init__(self) -> None:
            self.own = threading.local()

    first, second = in_another_unit(Registry) if unit_first else Registry(), Registry()
    with unit_of_work():
        first.own.x, first.shared.x = 1, 2
        assert (read(second.own), read(second.shared)) == (None, 2)
    assert (read(first.own), read(first.shared)) == (None, None)
