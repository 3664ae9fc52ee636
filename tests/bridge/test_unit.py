"""The unit of work: who shares one, when it ends, and what runs at its end."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable
from contextvars import Context
from typing import Any

import pytest
from greenlet import GreenletExit, greenlet

from django_loom.bridge import Unit, await_, current_unit, run_sync, unit_of_work
from tests.loops import LOOPS, LoopRunner, new_loop

from .tools import Suspended, calls_in_use, echo, fail


def the_unit() -> Unit:
    unit = current_unit()
    assert unit is not None
    assert not unit.ended
    return unit


# Who shares one


def test_a_plain_thread_has_none() -> None:
    assert current_unit() is None
    assert greenlet(current_unit).switch() is None


def test_a_coroutine_outside_a_call_has_none(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        assert current_unit() is None

    loop_runner(main)


def test_an_outermost_call_is_one_which_ends_with_it(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        first, second = await run_sync(the_unit), await run_sync(the_unit)
        assert first is not second
        assert first.ended
        assert second.ended
        assert current_unit() is None

    loop_runner(main)


def test_it_is_the_same_before_and_after_a_wait(loop_runner: LoopRunner) -> None:
    def function() -> None:
        unit = the_unit()
        await_(echo(None))
        assert the_unit() is unit

    loop_runner(run_sync, function)


def test_calls_at_the_same_time_have_one_each(loop_runner: LoopRunner) -> None:
    def function() -> Unit:
        unit = the_unit()
        await_(asyncio.sleep(0))
        assert the_unit() is unit
        return unit

    async def main() -> None:
        units = await asyncio.gather(*(run_sync(function) for _ in range(10)))
        assert len(set(units)) == 10

    loop_runner(main)


async def in_a_task() -> Unit:
    return await asyncio.create_task(run_sync(the_unit))


async def in_the_coroutine() -> Unit:
    return the_unit()


async def in_a_group() -> Unit:
    first, second = await asyncio.gather(run_sync(the_unit), run_sync(the_unit))
    assert first is second
    return first


@pytest.mark.parametrize(
    "below",
    [
        lambda: await_(run_sync(the_unit)),
        lambda: await_(in_the_coroutine()),
        lambda: await_(in_a_task()),
        lambda: await_(in_a_group()),
        lambda: await_(asyncio.to_thread(the_unit)),
        lambda: asyncio.run(in_a_task()),
        lambda: greenlet(the_unit).switch(),
        lambda: greenlet(lambda: await_(echo(1)) and the_unit()).switch(),
        lambda: greenlet(lambda: greenlet(the_unit).switch()).switch(),
        lambda: greenlet(lambda: await_(run_sync(the_unit))).switch(),
        lambda: greenlet(lambda: asyncio.run(in_a_task())).switch(),
    ],
    ids=[
        "call",
        "coroutine",
        "task",
        "gathered",
        "thread",
        "loop",
        "greenlet",
        "greenlet that waits",
        "greenlet in a greenlet",
        "call of a greenlet",
        "loop of a greenlet",
    ],
)
def test_what_runs_below_shares_it(loop_runner: LoopRunner, below: Callable[[], Unit]) -> None:
    def function() -> None:
        unit = the_unit()
        assert below() is unit
        assert the_unit() is unit

    loop_runner(run_sync, function)


def test_a_greenlet_in_a_thread_of_the_unit_shares_it(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        with unit_of_work() as unit:
            assert await asyncio.to_thread(lambda: greenlet(the_unit).switch()) is unit

    loop_runner(main)


def test_a_greenlet_has_the_unit_of_the_greenlet_that_started_it(loop_runner: LoopRunner) -> None:
    def child() -> tuple[Unit, Unit]:
        with unit_of_work() as unit:
            return unit, greenlet(the_unit).switch()

    def function() -> None:
        own, seen = greenlet(child).switch()
        assert own is seen
        assert own is not the_unit()

    loop_runner(run_sync, function)


def test_a_task_that_outlives_it_begins_another_with_its_next_call(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def outliving() -> tuple[Unit | None, Unit, Unit, Unit | None]:
            await gate.wait()
            before = current_unit()
            return before, await run_sync(the_unit), await run_sync(the_unit), current_unit()

        async def start() -> tuple[Unit, asyncio.Task[Any]]:
            return the_unit(), asyncio.create_task(outliving())

        unit, task = await run_sync(lambda: await_(start()))
        assert unit.ended
        gate.set()
        before, second, third, after = await task
        assert before is after is unit
        assert len({unit, second, third}) == 3

    loop_runner(main)


def test_a_block_is_one_of_its_own(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        with unit_of_work() as outer:
            assert await run_sync(the_unit) is outer
            with unit_of_work() as inner:
                assert await run_sync(the_unit) is inner
            assert inner.ended
            assert current_unit() is outer
            assert not outer.ended
        assert outer.ended
        assert current_unit() is None

    loop_runner(main)


def test_a_block_in_a_plain_thread() -> None:
    with unit_of_work() as unit:
        assert current_unit() is unit
    assert unit.ended
    assert current_unit() is None


# Its end


@pytest.mark.parametrize(
    "ending", [lambda: await_(fail(LookupError())), lambda: next(iter(()))], ids=["wait", "code"]
)
def test_it_ends_with_a_call_that_fails(loop_runner: LoopRunner, ending: Callable[[], Any]) -> None:
    units: list[Unit] = []

    def function() -> None:
        units.append(the_unit())
        ending()

    async def main() -> None:
        with pytest.raises((LookupError, StopIteration, RuntimeError)):
            await run_sync(function)
        assert units[0].ended
        assert current_unit() is None

    loop_runner(main)


def test_it_ends_with_a_call_that_raises_greenlet_exit(loop_runner: LoopRunner) -> None:
    log: list[Any] = []

    def function() -> None:
        the_unit().at_end(lambda: log.append("end") or fail_now())
        raise GreenletExit

    async def main() -> None:
        with pytest.raises(GreenletExit):  # not what the callback raises
            await run_sync(function)
        assert log == ["end"]
        assert current_unit() is None

    loop_runner(main)


def test_it_ends_with_a_call_that_is_cancelled(loop_runner: LoopRunner) -> None:
    log: list[Any] = []
    waiting = Suspended()
    waiting.log = log

    def function() -> Any:
        the_unit().at_end(lambda: log.append("end") or fail_now())
        return waiting()

    async def main() -> None:
        task = asyncio.create_task(run_sync(function))
        await waiting.started.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert log == [asyncio.CancelledError, "finally", "end"]

    loop_runner(main)


def fail_now() -> None:
    raise LookupError("of the callback")


class Left:
    """A call that waits, and notes its end and that of its unit."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    def __call__(self) -> None:
        the_unit().at_end(lambda: self.log.append(("end", threading.get_ident())))
        loop = running[0]
        try:
            await_(loop.create_future())
        finally:
            self.log.append(("finally", threading.get_ident()))

    def start(self) -> Any:
        running[:] = [asyncio.get_running_loop()]
        coroutine: Any = run_sync(self)
        # In a context of its own, as that of a task.
        Context().run(coroutine.send, None)
        return coroutine


running: list[asyncio.AbstractEventLoop] = []


def test_it_ends_with_a_call_that_is_closed_in_other_code_s_unit(loop_runner: LoopRunner) -> None:
    """As when the garbage collector starts there."""

    async def main() -> None:
        left = Left()
        coroutine = left.start()

        def function() -> None:
            unit = the_unit()
            coroutine.close()
            assert the_unit() is unit

        await run_sync(function)
        assert left.log == [("finally", threading.get_ident()), ("end", threading.get_ident())]

    loop_runner(main)
    assert calls_in_use() == []


def test_it_ends_with_a_task_that_is_collected(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        left = Left()
        running[:] = [asyncio.get_running_loop()]
        task = asyncio.create_task(run_sync(left))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with unit_of_work() as unit:
            del task
            gc.collect()
            assert current_unit() is unit
        assert [what for what, _ in left.log] == ["finally", "end"]

    loop_runner(main)


def test_it_ends_after_its_call_that_is_closed_by_another_thread(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        left = Left()
        coroutine = left.start()
        await asyncio.to_thread(coroutine.close)
        await asyncio.sleep(0)
        assert left.log == [("finally", threading.get_ident()), ("end", threading.get_ident())]

    loop_runner(main)
    assert calls_in_use() == []


@pytest.mark.parametrize("kind", LOOPS)
def test_it_ends_though_its_loop_and_thread_are_gone(kind: str) -> None:
    left = Left()
    waiting: list[Any] = []

    async def main() -> None:
        waiting.append(left.start())

    def in_thread() -> None:
        loop = new_loop(kind)
        loop.run_until_complete(main())
        loop.close()

    thread = threading.Thread(target=in_thread, daemon=True)
    thread.start()
    thread.join()
    waiting.pop().close()
    assert ("end", threading.get_ident()) in left.log


def test_a_block_left_in_an_async_generator_leaves_the_unit_of_who_closes_it(
    loop_runner: LoopRunner,
) -> None:
    async def generator() -> AsyncIterator[Unit]:
        with unit_of_work() as unit:
            yield unit

    async def main() -> None:
        rows = generator()
        left = await asyncio.create_task(anext(rows))  # type: ignore[arg-type]
        with unit_of_work() as unit:
            await rows.aclose()  # type: ignore[attr-defined]
            assert current_unit() is unit
        assert left.ended

    loop_runner(main)


# at_end()


def test_callbacks_run_once_the_last_one_first() -> None:
    log: list[int] = []
    unit = Unit()
    for number in range(3):
        unit.at_end(lambda number=number: log.append(number))  # type: ignore[misc]
    assert log == []
    unit.end()
    unit.end()
    assert log == [2, 1, 0]


def test_callbacks_see_that_the_unit_has_ended_and_are_not_in_it(loop_runner: LoopRunner) -> None:
    seen: list[Any] = []

    def function() -> None:
        unit = the_unit()
        unit.at_end(lambda: seen.extend([unit.ended, current_unit()]))

    loop_runner(run_sync, function)
    assert seen == [True, None]


def test_a_callback_may_add_another() -> None:
    log: list[str] = []
    unit = Unit()
    unit.at_end(lambda: unit.at_end(lambda: log.append("added")))
    unit.end()
    assert log == ["added"]


def test_a_callback_that_comes_too_late_runs_at_once() -> None:
    log: list[str] = []
    unit = Unit()
    unit.end()
    unit.at_end(lambda: log.append("late"))
    assert log == ["late"]


def test_all_callbacks_run_and_the_first_error_is_raised(loop_runner: LoopRunner) -> None:
    log: list[str] = []

    def failing(name: str) -> Callable[[], None]:
        def callback() -> None:
            log.append(name)
            raise LookupError(name)

        return callback

    def function() -> str:
        for name in ("last", "first"):
            the_unit().at_end(failing(name))
        return "result"

    async def main() -> None:
        with pytest.raises(LookupError, match="first"):
            await run_sync(function)
        with pytest.raises(LookupError, match="first"), unit_of_work():
            function()

    loop_runner(main)
    assert log == ["first", "last"] * 2
    assert calls_in_use() == []


def test_an_error_of_a_callback_hides_none_of_the_code(loop_runner: LoopRunner) -> None:
    def function() -> None:
        the_unit().at_end(fail_now)
        raise ValueError("of the code")

    async def main() -> None:
        with pytest.raises(ValueError, match="of the code"):
            await run_sync(function)
        with pytest.raises(ValueError, match="of the code"), unit_of_work():
            function()

    loop_runner(main)


def test_an_interrupt_in_a_callback_stops_no_other_and_is_never_quiet() -> None:
    log: list[str] = []

    def interrupted() -> None:
        raise KeyboardInterrupt

    unit = Unit()
    unit.at_end(lambda: log.append("ran"))
    unit.at_end(interrupted)
    with pytest.raises(KeyboardInterrupt):
        unit.end(quietly=True)
    assert log == ["ran"]


def test_belongings_are_kept_for_code_that_outlives_it() -> None:
    unit = Unit()
    unit.belongings["room"] = "thing"
    unit.end()
    assert unit.belongings == {"room": "thing"}
