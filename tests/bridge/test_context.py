"""What code inside a call sees of its surroundings: context variables, loop, task."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import SynchronousOnlyOperation
from django.utils.asyncio import async_unsafe

from django_loom.bridge import await_, run_sync, running_loop
from tests.loops import LoopRunner

from .tools import echo, fail

color: contextvars.ContextVar[str] = contextvars.ContextVar("color")


def is_loop_visible() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def set_color(value: str) -> None:
    await asyncio.sleep(0)
    color.set(value)


def test_variables_are_shared_with_the_awaiting_task(loop_runner: LoopRunner) -> None:
    def function() -> None:
        assert color.get() == "set in the task"
        color.set("set in the function")
        await_(asyncio.sleep(0))
        assert color.get() == "set in the function"
        await_(set_color("set in a coroutine below"))
        assert color.get() == "set in a coroutine below"
        color.set("set last")

    async def main() -> None:
        color.set("set in the task")
        await run_sync(function)
        assert color.get() == "set last"

    loop_runner(main)


def test_a_variable_set_before_a_failure_stays_set(loop_runner: LoopRunner) -> None:
    def function() -> None:
        color.set("set")
        await_(fail(LookupError()))

    async def main() -> None:
        with pytest.raises(LookupError):
            await run_sync(function)
        assert color.get() == "set"

    loop_runner(main)


def test_a_token_made_on_one_side_resets_on_the_other(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        color.set("before")
        token = color.set("in the task")
        await run_sync(color.reset, token)
        assert color.get() == "before"
        token = await run_sync(color.set, "in the function")
        color.reset(token)
        assert color.get() == "before"

    loop_runner(main)


def test_tasks_do_not_see_each_other_s_variables(loop_runner: LoopRunner) -> None:
    def function(name: str) -> str:
        color.set(name)
        await_(asyncio.sleep(0))
        return color.get()

    async def main() -> list[str]:
        names = [str(each) for each in range(20)]
        assert await asyncio.gather(*(run_sync(function, name) for name in names)) == names
        return [color.get("none here")]

    assert loop_runner(main) == ["none here"]


def test_a_task_started_below_inherits_the_variables(loop_runner: LoopRunner) -> None:
    async def start_task() -> str:
        return await asyncio.create_task(run_sync(color.get))

    def function() -> str:
        color.set("inherited")
        return await_(start_task())

    assert loop_runner(run_sync, function) == "inherited"


def test_no_loop_is_visible_inside(loop_runner: LoopRunner) -> None:
    seen: list[bool] = []

    async def below() -> None:
        seen.append(is_loop_visible())
        await asyncio.sleep(0)
        seen.append(is_loop_visible())

    def function() -> None:
        seen.append(is_loop_visible())
        await_(below())
        seen.append(is_loop_visible())
        with pytest.raises(LookupError):
            await_(fail(LookupError()))
        seen.append(is_loop_visible())

    async def main() -> None:
        await run_sync(function)
        seen.append(is_loop_visible())

    loop_runner(main)
    assert seen == [False, True, True, False, False, True]


def test_the_loop_is_visible_again_after_a_failure(loop_runner: LoopRunner) -> None:
    def function(wait: bool) -> None:
        if wait:
            await_(asyncio.sleep(0))
        raise LookupError

    async def main() -> None:
        for wait in (False, True):
            with pytest.raises(LookupError):
                await run_sync(function, wait)
            assert is_loop_visible()

    loop_runner(main)


def test_the_loop_is_visible_to_others_while_a_call_waits(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        seen = asyncio.get_running_loop().create_future()

        async def other() -> None:
            seen.set_result(is_loop_visible())

        def function() -> bool:
            return bool(await_(seen))

        waiting = asyncio.create_task(run_sync(function))
        await asyncio.sleep(0)
        await asyncio.create_task(other())
        assert await waiting is True

    loop_runner(main)


def test_current_task_is_refused_inside_as_in_a_thread(loop_runner: LoopRunner) -> None:
    def function() -> None:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.current_task()

    loop_runner(run_sync, function)


def test_coroutines_below_run_in_the_awaiting_task(loop_runner: LoopRunner) -> None:
    async def below() -> Any:
        before = asyncio.current_task()
        await asyncio.sleep(0)
        return before, asyncio.current_task()

    async def main() -> None:
        me = asyncio.current_task()
        assert await run_sync(lambda: await_(below())) == (me, me)
        assert asyncio.current_task() is me

    loop_runner(main)


def test_async_unsafe_code_of_django_is_allowed_inside_only(loop_runner: LoopRunner) -> None:
    @async_unsafe
    def query() -> str:
        return "rows"

    async def main() -> None:
        assert await run_sync(query) == "rows"
        with pytest.raises(SynchronousOnlyOperation):
            query()

    loop_runner(main)


def own_loop_of_asyncio() -> Any:
    return asyncio.run(echo("own loop"))


def own_loop_of_asgiref() -> Any:
    return async_to_sync(echo)("own loop")


@pytest.mark.parametrize("with_own_loop", [own_loop_of_asyncio, own_loop_of_asgiref])
def test_code_inside_may_run_a_loop_of_its_own(
    loop_runner: LoopRunner, with_own_loop: Callable[[], Any]
) -> None:
    def function() -> tuple[Any, Any]:
        own = with_own_loop()
        assert not is_loop_visible()
        return own, await_(echo("outer loop"))

    async def main() -> None:
        me = asyncio.current_task()
        assert await run_sync(function) == ("own loop", "outer loop")
        assert asyncio.current_task() is me

    loop_runner(main)


def test_calls_work_on_a_loop_that_runs_inside_a_call(loop_runner: LoopRunner) -> None:
    def function() -> Any:
        return asyncio.run(run_sync(lambda: await_(echo("inner"))))

    assert loop_runner(run_sync, function) == "inner"


def test_anyio_sees_no_async_library_inside(loop_runner: LoopRunner) -> None:
    anyio = pytest.importorskip("anyio")

    def function() -> str:
        with pytest.raises(anyio.NoEventLoopError):
            anyio.get_current_task()
        return str(anyio.from_thread.run.__name__)

    async def main() -> None:
        await run_sync(function)
        assert anyio.get_current_task().id == id(asyncio.current_task())

    loop_runner(main)


def test_the_running_loop_is_the_hidden_one_or_the_one_that_runs_inside(
    loop_runner: LoopRunner,
) -> None:
    async def nested() -> bool:
        return running_loop() is asyncio.get_running_loop()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert running_loop() is loop
        assert await run_sync(running_loop) is loop
        assert await run_sync(lambda: asyncio.run(nested()))

    loop_runner(main)
