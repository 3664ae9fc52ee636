"""Results and exceptions cross the bridge, both ways."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from greenlet import GreenletExit

from django_loom.bridge import await_, current_call, run_sync
from tests.loops import LoopRunner

from .tools import double, echo, fail, function_names

BASE_ERRORS = [KeyboardInterrupt, SystemExit, GeneratorExit, GreenletExit, BaseException]


class Ready:
    """An awaitable that is not a coroutine."""

    def __await__(self) -> Generator[None, None, str]:
        yield
        return "ready"


class Service:
    def method(self, value: int) -> int:
        return double(value)


@pytest.mark.parametrize(
    "function", [double, Service().method, functools.partial(double), lambda value: double(value)]
)
def test_what_a_callable_returns_comes_back(
    loop_runner: LoopRunner, function: Callable[[int], int]
) -> None:
    assert loop_runner(run_sync, function, 21) == 42


def test_arguments_are_passed_whatever_their_names(loop_runner: LoopRunner) -> None:
    def function(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    async def main() -> Any:
        return await run_sync(function, 1, 2, fn=3, self=4, args=5, kwargs=6)

    assert loop_runner(main) == ((1, 2), {"fn": 3, "self": 4, "args": 5, "kwargs": 6})


@pytest.mark.parametrize("returned", [None, False, (), GreenletExit(), ValueError(), StopIteration])
def test_any_object_can_be_returned(loop_runner: LoopRunner, returned: Any) -> None:
    assert loop_runner(run_sync, lambda: returned) is returned
    assert loop_runner(run_sync, lambda: await_(echo(returned))) is returned


def test_every_kind_of_awaitable_is_awaited(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.set_result, "future")
        task = loop.create_task(echo("task"))
        done = loop.create_future()
        done.set_result("done")

        def function() -> list[str]:
            waits: list[Any] = [echo("coroutine"), future, task, done, Ready()]
            return [await_(each) for each in waits]

        assert await run_sync(function) == ["coroutine", "future", "task", "done", "ready"]

    loop_runner(main)


def test_a_call_without_a_wait_does_not_yield_to_the_loop(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        others: list[str] = []
        asyncio.get_running_loop().call_soon(others.append, "ran")
        await run_sync(lambda: None)
        assert others == []

    loop_runner(main)


def test_calls_take_turns_at_their_waits(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        log: list[str] = []

        def function(name: str) -> None:
            for step in range(3):
                log.append(f"{name}{step}")
                await_(asyncio.sleep(0))

        await asyncio.gather(*(run_sync(function, name) for name in "abc"))
        assert log == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]

    loop_runner(main)


def test_an_exception_of_the_function_reaches_the_coroutine(loop_runner: LoopRunner) -> None:
    error = ValueError("sync")

    def failing_function() -> None:
        raise error

    async def calling_coroutine() -> None:
        await run_sync(failing_function)

    with pytest.raises(ValueError, match="sync") as caught:
        loop_runner(calling_coroutine)
    assert caught.value is error
    names = function_names(error)
    assert names.index("calling_coroutine") < names.index("failing_function")


def test_an_exception_of_the_awaitable_is_raised_at_the_wait(loop_runner: LoopRunner) -> None:
    error = ValueError("async")

    def function() -> str:
        with pytest.raises(ValueError, match="async") as caught:
            await_(fail(error))
        assert caught.value is error
        assert function_names(error)[-1] == "fail"
        return str(await_(echo("went on")))

    assert loop_runner(run_sync, function) == "went on"


def test_a_traceback_shows_both_sides_of_every_bridge(loop_runner: LoopRunner) -> None:
    async def coroutine_1() -> None:
        await run_sync(function_1)

    def function_1() -> None:
        await_(coroutine_2())

    async def coroutine_2() -> None:
        await asyncio.sleep(0)
        await run_sync(function_2)

    def function_2() -> None:
        await_(coroutine_3())

    async def coroutine_3() -> None:
        await asyncio.sleep(0)
        raise LookupError

    with pytest.raises(LookupError) as caught:
        loop_runner(coroutine_1)
    mine = [name for name in function_names(caught.value) if name[-1].isdigit()]
    # Each frame of a coroutine is passed on the way into the function above it as well.
    assert list(dict.fromkeys(mine)) == [
        "coroutine_1",
        "function_1",
        "coroutine_2",
        "function_2",
        "coroutine_3",
    ]


def test_stop_iteration_of_the_function_becomes_a_runtime_error(loop_runner: LoopRunner) -> None:
    # As in any coroutine (PEP 479), and no future could carry it.
    with pytest.raises(RuntimeError, match="StopIteration") as caught:
        loop_runner(run_sync, next, iter(()))
    assert isinstance(caught.value.__cause__, StopIteration)


def test_stop_iteration_of_a_coroutine_becomes_a_runtime_error(loop_runner: LoopRunner) -> None:
    def function() -> str:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await_(fail(StopIteration()))
        return "went on"

    assert loop_runner(run_sync, function) == "went on"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_exit_of_the_function_ends_the_loop(
    loop_runner: LoopRunner, kind: type[BaseException]
) -> None:
    def function() -> None:
        await_(echo(None))
        raise kind

    with pytest.raises(kind):
        loop_runner(run_sync, function)


@pytest.mark.parametrize("kind", BASE_ERRORS)
def test_the_coroutine_can_catch_any_exception_of_the_function(
    loop_runner: LoopRunner, kind: type[BaseException]
) -> None:
    error = kind()

    def function() -> None:
        raise error

    async def main() -> None:
        with pytest.raises(kind) as caught:
            await run_sync(function)
        assert caught.value is error
        assert await run_sync(double, 2) == 4

    loop_runner(main)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GreenletExit, BaseException])
def test_the_function_can_catch_any_exception_of_a_coroutine(
    loop_runner: LoopRunner, kind: type[BaseException]
) -> None:
    error = kind()

    def function() -> int:
        with pytest.raises(kind) as caught:
            await_(fail(error))
        assert caught.value is error
        return double(2)

    assert loop_runner(run_sync, function) == 4


def test_calls_nest_to_depth_50(loop_runner: LoopRunner) -> None:
    async def coroutine(depth: int) -> list[int]:
        await asyncio.sleep(0)
        return [depth] if depth == 50 else await run_sync(function, depth + 1)

    def function(depth: int) -> list[int]:
        return [depth, *await_(coroutine(depth))]

    assert loop_runner(coroutine, 0) == [*range(1, 51), 50]


def test_an_exception_passes_50_bridges(loop_runner: LoopRunner) -> None:
    passed: list[int] = []

    async def coroutine(depth: int) -> None:
        await asyncio.sleep(0)
        if depth == 50:
            raise LookupError
        await run_sync(function, depth + 1)

    def function(depth: int) -> None:
        try:
            await_(coroutine(depth))
        finally:
            await_(asyncio.sleep(0))
            passed.append(depth)

    with pytest.raises(LookupError):
        loop_runner(coroutine, 0)
    assert passed == list(range(50, 0, -1))


def test_10_000_calls_wait_at_once(loop_runner: LoopRunner) -> None:
    waiting = 0

    async def main() -> list[int]:
        everybody = asyncio.Event()

        def function(number: int) -> int:
            nonlocal waiting
            waiting += 1
            if waiting == 10_000:
                everybody.set()
            await_(everybody.wait())
            return number

        return await asyncio.gather(*(run_sync(function, each) for each in range(10_000)))

    assert loop_runner(main) == list(range(10_000))


def test_a_generator_may_wait_in_its_body(loop_runner: LoopRunner) -> None:
    def generator() -> Iterator[int]:
        for each in range(3):
            yield await_(echo(each))

    assert loop_runner(run_sync, lambda: list(generator())) == [0, 1, 2]


def test_a_generator_goes_on_in_another_call(loop_runner: LoopRunner) -> None:
    finished: list[str] = []

    def generator() -> Iterator[int]:
        try:
            for each in range(3):
                yield double(each)
        finally:
            finished.append(await_(echo("waited")))

    async def main() -> None:
        values = generator()
        assert [await run_sync(next, values) for _ in range(2)] == [0, 2]
        await run_sync(values.close)

    loop_runner(main)
    assert finished == ["waited"]


def test_current_call_tells_synchronous_code_on_a_loop(loop_runner: LoopRunner) -> None:
    async def below() -> None:
        assert current_call() is None

    def function() -> None:
        call = current_call()
        assert call is not None
        await_(below())
        assert current_call() is call
        assert not call.closing

    async def main() -> None:
        assert current_call() is None
        await run_sync(function)
        assert current_call() is None

    assert current_call() is None
    loop_runner(main)
