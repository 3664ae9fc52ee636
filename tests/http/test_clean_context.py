"""Awaiting in another context: same task, same results, same errors and cancellations."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, copy_context

import pytest

from django_loom.http.clean_context import await_in
from tests.loops import LoopRunner

variable: ContextVar[str] = ContextVar("variable")


def test_the_code_sees_its_context_and_the_caller_keeps_its_own(loop_runner: LoopRunner) -> None:
    async def inside() -> str:
        before = variable.get()
        await asyncio.sleep(0)
        variable.set("inside")
        await asyncio.sleep(0)
        return f"{before} {variable.get()}"

    async def main() -> None:
        variable.set("first")
        context = copy_context()
        variable.set("second")
        assert await await_in(context, inside()) == "first inside"
        assert variable.get() == "second"
        assert context[variable] == "inside"

    loop_runner(main)


def test_it_is_the_callers_task(loop_runner: LoopRunner) -> None:
    async def inside() -> asyncio.Task[None] | None:
        await asyncio.sleep(0)
        return asyncio.current_task()

    async def main() -> None:
        assert await await_in(copy_context(), inside()) is asyncio.current_task()

    loop_runner(main)


def test_errors_come_out(loop_runner: LoopRunner) -> None:
    async def inside() -> None:
        await asyncio.sleep(0)
        raise ValueError("of the code")

    async def main() -> None:
        with pytest.raises(ValueError, match="of the code"):
            await await_in(copy_context(), inside())

    loop_runner(main)


def test_errors_of_what_is_awaited_go_in(loop_runner: LoopRunner) -> None:
    async def inside(awaited: asyncio.Future[None]) -> str:
        try:
            await awaited
        except ValueError as error:
            await asyncio.sleep(0)
            return f"seen {error}"
        return "not seen"

    async def main() -> None:
        awaited = asyncio.get_running_loop().create_future()
        awaited.get_loop().call_soon(awaited.set_exception, ValueError("it"))
        assert await await_in(copy_context(), inside(awaited)) == "seen it"

    loop_runner(main)


def test_a_cancellation_goes_in_and_out(loop_runner: LoopRunner) -> None:
    steps: list[str] = []

    async def inside() -> None:
        try:
            steps.append("begun")
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            steps.append("cancelled")
            raise

    async def main() -> None:
        task = asyncio.ensure_future(await_in(copy_context(), inside()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert steps == ["begun", "cancelled"]

    loop_runner(main)


def test_a_time_limit_holds(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await await_in(copy_context(), asyncio.Event().wait())

    loop_runner(main)
