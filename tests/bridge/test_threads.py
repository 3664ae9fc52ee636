"""run_in_thread: away from the loop where there is one."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest

from django_loom.bridge import current_call, run_in_thread, run_sync
from tests.loops import LoopRunner

variable: ContextVar[str] = ContextVar("variable")


def test_a_call_s_work_runs_in_another_thread_while_the_loop_goes_on(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        ran_on = threading.Event()

        def work(argument: str, keyword: str) -> tuple[str, str, bool]:
            assert ran_on.wait(50), "the loop stood still"
            return argument, keyword, threading.current_thread() is main_thread

        main_thread = threading.current_thread()
        task = asyncio.create_task(run_sync(run_in_thread, work, "a", keyword="k"))
        await asyncio.sleep(0)
        ran_on.set()
        assert await task == ("a", "k", False)

    loop_runner(main)


def test_plain_code_runs_its_work_where_it_is() -> None:
    assert run_in_thread(threading.current_thread) is threading.current_thread()


def test_the_thread_has_the_call_s_context_and_no_call(loop_runner: LoopRunner) -> None:
    def work() -> str:
        assert current_call() is None
        return variable.get()

    def function() -> str:
        variable.set("set in the call")
        return run_in_thread(work)

    assert loop_runner(run_sync, function) == "set in the call"


def test_an_error_of_the_work_is_raised_in_the_call(loop_runner: LoopRunner) -> None:
    def function() -> None:
        with pytest.raises(ZeroDivisionError):
            run_in_thread(divmod, 1, 0)

    loop_runner(run_sync, function)
