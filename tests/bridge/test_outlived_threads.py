"""A thread stays for what it can't leave to anybody, and waits though its unit has ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async

from django_loom import await_, run_sync
from django_loom.bridge import (
    begin_block,
    current_unit,
    unit_of_work,
)

from .tools import Suspended, ident_after_a_wait, turns

# A thread stays for what it can't leave to anybody.


def run_in_thread_of(loop_code: Callable[[], Any]) -> Any:
    """asyncio.run() → sync_to_async() → async_to_sync(), which goes back to the same loop."""

    async def main() -> Any:
        return await sync_to_async(lambda: (threading.get_ident(), async_to_sync(loop_code)()))()

    return main()


def test_a_thread_stays_until_the_calls_that_it_has_put_aside_have_ended() -> None:
    idents: list[int] = []
    order: list[str] = []

    async def main() -> None:
        loop, returned, call = asyncio.get_running_loop(), asyncio.Event(), Suspended()

        async def start() -> None:
            tasks.append(loop.create_task(run_sync(thread_call)))
            await call.started.wait()
            returned.set()

        def thread_call() -> None:
            idents.append(threading.get_ident())
            started = call.started
            loop.call_soon_threadsafe(started.set)
            await_(call.gate.wait())
            idents.append(threading.get_ident())
            order.append("call")

        async def let_go() -> None:
            await returned.wait()
            await turns()
            assert await run_sync(threading.get_ident) == threading.get_ident()
            call.gate.set()

        tasks = [loop.create_task(let_go())]
        ident, _ = await run_in_thread_of(start)
        order.append("thread")
        await asyncio.gather(*tasks)
        assert idents == [ident, ident]

    asyncio.run(main())
    assert order == ["call", "thread"]


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_thread_stays_until_the_blocks_in_it_have_ended(is_cancelled: bool) -> None:
    order: list[str] = []

    async def main() -> None:
        loop, returned = asyncio.get_running_loop(), asyncio.Event()

        async def block() -> None:
            opened = await begin_block(loop)
            await returned.wait()
            await turns()
            idents.append(await run_sync(threading.get_ident))
            order.append("block")
            opened.end()

        async def start() -> None:
            tasks.append(loop.create_task(block()))
            idents.append(await run_sync(threading.get_ident))
            returned.set()

        async def ends() -> None:
            await run_in_thread_of(start)

        idents: list[int] = []
        tasks: list[asyncio.Task[None]] = []
        task = loop.create_task(ends())
        await returned.wait()
        if is_cancelled:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await task
        order.append("thread")
        await tasks[0]
        assert len(set(idents)) == 1

    asyncio.run(main())
    assert order == ["block", "thread"]


def test_a_task_that_outlives_an_inner_wait_is_the_threads_while_that_waits_around_it() -> None:
    async def outer() -> bool:
        goes_on = asyncio.Event()
        tasks: list[asyncio.Task[int]] = []

        async def task() -> int:
            await goes_on.wait()
            return await run_sync(threading.get_ident)

        async def start() -> None:
            tasks.append(asyncio.create_task(task()))

        ident = await run_sync(lambda: async_to_sync(start)() or threading.get_ident())
        goes_on.set()
        return await tasks[0] == ident

    assert asyncio.run(run_in_thread_of(outer))[1]


# A thread that goes on beyond its unit still waits for what its code awaits.


@pytest.mark.parametrize("has_loop", [True, False], ids=["its loop", "a new loop"])
def test_async_code_of_a_thread_that_outlives_its_unit_is_the_threads(has_loop: bool) -> None:
    begun, unit_ended = threading.Event(), threading.Event()

    def function() -> Any:
        begun.set()
        unit_ended.wait(10)
        return threading.get_ident(), current_unit(), async_to_sync(of_thread)()

    async def of_thread() -> Any:
        return await run_sync(ident_after_a_wait), await run_sync(current_unit)

    async def main() -> None:
        run = sync_to_async(function) if has_loop else partial(asyncio.to_thread, function)
        with unit_of_work() as unit:
            task = asyncio.create_task(run())
            await asyncio.to_thread(begun.wait, 10)
        unit_ended.set()
        ident, of_function, (idents, of_call) = await task
        assert set(idents) == {ident}
        assert of_function is of_call is unit

    asyncio.run(main())


def test_a_unit_may_end_in_the_midst_of_async_code_that_a_thread_waits_for() -> None:
    async def main() -> None:
        begun, unit_ended = asyncio.Event(), asyncio.Event()

        async def of_thread() -> Any:
            on_loop = await run_sync(threading.get_ident)
            begun.set()
            await unit_ended.wait()
            return on_loop, await run_sync(threading.get_ident)

        with unit_of_work():
            task = asyncio.create_task(run_in_thread_of(of_thread))
            await begun.wait()
        unit_ended.set()
        ident, idents = await task
        assert idents == (threading.get_ident(), ident)

    asyncio.run(main())


def test_a_task_that_outlives_unit_and_thread_goes_on_on_the_loop() -> None:
    async def main() -> None:
        goes_on = asyncio.Event()

        async def task() -> tuple[int, Any]:
            await goes_on.wait()
            return await run_sync(threading.get_ident), await run_sync(current_unit)

        async def start() -> asyncio.Task[tuple[int, Any]]:
            return asyncio.create_task(task())

        with unit_of_work() as unit:
            _, left = await run_in_thread_of(start)
        goes_on.set()
        ident, of_call = await left
        assert ident == threading.get_ident()
        assert of_call is not unit

    asyncio.run(main())
