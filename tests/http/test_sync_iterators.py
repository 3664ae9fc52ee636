"""Synchronous parts, made in a thread or in a greenlet, sent from the loop."""

from __future__ import annotations

import asyncio
import dis
import gc
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from types import FrameType
from typing import Any

import pytest

from django_loom import await_, run_sync
from django_loom.http import sync_iterators
from django_loom.http.sync_iterators import _Parts, iterate
from django_loom.http.view_threads import ViewThreads
from tests.loops import LoopRunner
from tests.polling import aeventually, eventually

PLACES = ["greenlet", "thread"]
everywhere = pytest.mark.parametrize("place", PLACES)


@pytest.fixture
def threads() -> Iterator[ViewThreads]:
    it = ViewThreads(2, 10)
    yield it
    it.close()


def runner(place: str, threads: ViewThreads) -> Any:
    return run_sync if place == "greenlet" else threads.run


async def collected(parts: AsyncIterator[bytes]) -> list[bytes]:
    return [part async for part in parts]


@everywhere
def test_quick_parts_come_in_few_batches_in_their_order(
    loop_runner: LoopRunner, threads: ViewThreads, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_iterators, "_QUICK_SECONDS", float("inf"))
    parts = [b"%d," % number for number in range(50_000)]

    async def main() -> list[bytes]:
        return await collected(iterate(iter(parts), runner(place, threads)))

    batches = loop_runner(main)
    assert b"".join(batches) == b"".join(parts)
    if place == "greenlet":  # from a thread, the loop takes what has come so far
        assert len(batches) == len(b"".join(parts)) // 2**16 + 1


@everywhere
@pytest.mark.parametrize("parts", [[], [b""], [b"", b"one", b""], [b"x" * 200_000] * 3])
def test_all_parts_come(
    loop_runner: LoopRunner, threads: ViewThreads, place: str, parts: list[bytes]
) -> None:
    async def main() -> list[bytes]:
        return await collected(iterate(iter(parts), runner(place, threads)))

    assert b"".join(loop_runner(main)) == b"".join(parts)


def test_a_part_of_a_thread_comes_before_the_next_is_made(
    loop_runner: LoopRunner, threads: ViewThreads
) -> None:
    async def main() -> None:
        go = threading.Event()

        def source() -> Iterator[bytes]:
            for number in range(20):
                yield b"%d" % number
                assert go.wait(30)
                go.clear()

        expected = iter(range(20))
        async with aclosing(iterate(source(), threads.run)) as parts:
            async for part in parts:
                assert part == b"%d" % next(expected)
                go.set()
        assert next(expected, None) is None

    loop_runner(main)


def test_a_part_of_a_greenlet_comes_before_the_next_is_made(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        go = asyncio.Event()

        def source() -> Iterator[bytes]:
            for number in range(20):
                yield b"%d" % number
                await_(go.wait())
                go.clear()

        expected = iter(range(20))
        async with aclosing(iterate(source(), run_sync)) as parts:
            async for part in parts:
                assert part == b"%d" % next(expected)
                go.set()
        assert next(expected, None) is None

    loop_runner(main)


@everywhere
def test_no_more_is_made_than_one_hop_ahead(
    loop_runner: LoopRunner, threads: ViewThreads, place: str
) -> None:
    made = 0

    def source() -> Iterator[bytes]:
        nonlocal made
        while True:
            made += 1
            yield b"x" * 2**14

    async def main() -> None:
        async with aclosing(iterate(source(), runner(place, threads))) as parts:
            sent = 0
            for _ in range(10):
                sent += len(await anext(parts))
                for _ in range(20):
                    await asyncio.sleep(0)
                if place == "thread":
                    await aeventually(lambda: threads.statistics().used <= 1)
                assert made * 2**14 <= sent + 2**16 + 2**14

    loop_runner(main)


@everywhere
@pytest.mark.parametrize("parts", [0, 1, 3])
def test_an_error_comes_after_the_parts_before_it(
    loop_runner: LoopRunner, threads: ViewThreads, place: str, parts: int
) -> None:
    def source() -> Iterator[bytes]:
        yield from [b"part"] * parts
        raise KeyError("mine")

    got = []

    async def collect() -> None:
        async for part in iterate(source(), runner(place, threads)):
            got.append(part)

    async def main() -> None:
        with pytest.raises(KeyError, match="mine"):
            await collect()
        assert b"".join(got) == b"part" * parts

    loop_runner(main)


@everywhere
def test_an_error_that_nobody_waits_for_is_not_the_loops(
    loop_runner: LoopRunner, threads: ViewThreads, place: str
) -> None:
    """As when the client leaves while the parts before the error are sent."""

    def source() -> Iterator[bytes]:
        yield b"part"
        raise KeyError("mine")

    async def main() -> None:
        parts = iterate(source(), runner(place, threads))
        await anext(parts)
        if place == "thread":
            await aeventually(lambda: threads.statistics().used == 0)
        await parts.aclose()
        del parts
        gc.collect()
        await asyncio.sleep(0)

    loop_runner(main)


def test_an_error_of_a_thread_after_the_end_is_not_the_loops(
    loop_runner: LoopRunner, threads: ViewThreads
) -> None:
    begun, go = threading.Event(), threading.Event()

    def source() -> Iterator[bytes]:
        begun.set()
        assert go.wait(30)
        raise KeyError("mine")
        yield b""

    async def main() -> None:
        task = asyncio.create_task(collected(iterate(source(), threads.run)))
        await aeventually(begun.is_set)
        task.cancel()
        await asyncio.sleep(0)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        gc.collect()
        await asyncio.sleep(0)

    loop_runner(main)


def test_a_cancelled_caller_waits_for_the_thread_in_the_iterator(
    loop_runner: LoopRunner, threads: ViewThreads
) -> None:
    """Then the iterator can be closed: it would refuse that while it runs."""
    begun, go = threading.Event(), threading.Event()
    closed = []

    def source() -> Iterator[bytes]:
        try:
            begun.set()
            assert go.wait(30)
            yield b"late"
        finally:
            closed.append(True)

    async def main() -> None:
        it = source()
        task = asyncio.create_task(collected(iterate(it, threads.run)))
        await aeventually(begun.is_set)
        task.cancel()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not task.done()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        it.close()
        assert closed == [True]

    loop_runner(main)


def test_a_cancelled_caller_cancels_the_wait_of_a_greenlet(loop_runner: LoopRunner) -> None:
    seen = []

    def source() -> Iterator[bytes]:
        yield b"one"
        try:
            await_(asyncio.Event().wait())
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def main() -> None:
        task = asyncio.create_task(collected(iterate(source(), run_sync)))
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert seen == ["cancelled"]

    loop_runner(main)


def test_no_part_is_lost_between_the_thread_and_the_loop(
    loop_runner: LoopRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop takes what has arrived at each single instruction of the thread's code."""
    monkeypatch.setattr(sync_iterators, "_QUICK_SECONDS", float("inf"))

    async def main() -> None:
        expected = [b"%d," % number for number in range(5)]
        instructions = len(list(dis.get_instructions(_Parts.fill)))
        for place in range(instructions * 5):
            parts = _Parts()
            taken = []
            count = 0

            def step(frame: FrameType, event: str, argument: Any) -> Any:
                nonlocal count
                if frame.f_code is not _Parts.fill.__code__:
                    return None
                frame.f_trace_opcodes = True
                if event == "opcode":
                    if count == place:  # noqa: B023
                        taken.append(parts.take())  # noqa: B023
                    count += 1
                return step

            before = sys.gettrace()
            sys.settrace(step)
            try:
                ended = parts.fill(iter(expected))
            finally:
                sys.settrace(before)
            assert ended
            taken.append(parts.take())
            assert b"".join(taken) == b"".join(expected), f"lost at instruction {place}"

    loop_runner(main)


def test_the_wake_up_is_not_lost_between_the_look_and_the_wait(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        parts = _Parts()

        class Arrives(type(parts.arrived)):  # type: ignore[misc]
            """Empty at the first look; then, before the wait begins, a thread appends."""

            looked = False

            def __bool__(self) -> bool:
                if not self.looked:
                    type(self).looked = True
                    thread = threading.Thread(target=parts.fill, args=(iter([b"part"]),))
                    thread.start()
                    eventually(lambda: len(self) == 1)
                    thread.join()
                    return False
                return len(self) > 0

        parts.arrived = Arrives()
        await parts.wait()
        assert parts.take() == b"part"

    loop_runner(main)


def test_slow_parts_keep_no_thread_between_them(
    loop_runner: LoopRunner, threads: ViewThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_iterators, "_QUICK_SECONDS", -1.0)  # every part counts as slow

    async def main() -> None:
        parts = iterate(iter([b"one", b"two"]), threads.run)
        assert await anext(parts) == b"one"
        await aeventually(lambda: threads.statistics().used == 0)
        assert await collected(parts) == [b"two"]
        assert threads.statistics().uses == 3

    loop_runner(main)
