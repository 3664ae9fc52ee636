"""The limits of a body: its size, and the time that readers wait for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from django_loom.exceptions import BodyTimeout, BodyTooLarge
from django_loom.http import body as body_module
from django_loom.http.body import RequestBody
from django_loom.http.conf import HttpSettings
from tests.http.asgi import Message, chunk, end
from tests.http.bodies import NEVER, Body, others_end, settle
from tests.loops import LoopRunner


@pytest.fixture(autouse=True)
def watch_never(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No watch begins by itself."""
    monkeypatch.setattr(body_module, "WATCH_AFTER_SECONDS", NEVER)
    return monkeypatch


@pytest.mark.parametrize("cuts", [[4], [3, 1], [1, 1, 1, 1]])
def test_a_body_of_exactly_the_limit(loop_runner: LoopRunner, cuts: list[int]) -> None:
    async def main() -> None:
        it = Body(*[chunk(b"x" * size) for size in cuts], end(), MAX_BODY=4)
        assert [len(await it.body.read_chunk()) for _ in [*cuts, 0]] == [*cuts, 0]
        it.body.refuse_length(4)

    loop_runner(main)


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("last", [False, True])
def test_a_body_over_the_limit(loop_runner: LoopRunner, watched: bool, last: bool) -> None:
    async def main() -> None:
        rest = [] if last else [chunk(b"y")]
        it = Body(chunk(b"xxxx"), chunk(b"x", more=not last), *rest, MAX_BODY=4)
        assert await it.body.read_chunk() == b"xxxx"
        if watched:
            it.watch()
            await settle()
        for _ in range(2):
            with pytest.raises(BodyTooLarge, match=r"LOOM\['MAX_BODY'\], 4 bytes"):
                await it.body.read_chunk()
        await settle()
        assert len(it.connection.taken) == 2
        assert it.told == 0
        it.body.close()
        await others_end()

    loop_runner(main)


def test_an_announced_body_over_the_limit_is_not_received(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        it = Body(chunk(b"x"), MAX_BODY=4)
        with pytest.raises(BodyTooLarge):
            it.body.refuse_length(5)
        with pytest.raises(BodyTooLarge):
            await it.body.read_chunk()
        it.watch()
        await settle()
        assert it.connection.taken == []

    loop_runner(main)


def test_no_limit(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        it = Body(end(b"x"), MAX_BODY=None)
        it.body.refuse_length(2**60)
        assert await it.body.read_chunk() == b"x"

    loop_runner(main)


class Clock:
    """The loop as the body sees it, with a time that the test sets."""

    def __init__(self, it: Body) -> None:
        self.now = 0.0
        self._loop = it.body.loop
        it.body.loop = self  # type: ignore[assignment]

    def time(self) -> float:
        return self.now

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


async def read_slowly(it: Body, clock: Clock, seconds: float, message: Message) -> bytes:
    """Let a reader wait so long for a message."""
    reading = it.read()
    await settle()
    clock.now += seconds
    it.connection.give(message)
    return await reading


@pytest.mark.parametrize("watched", [False, True])
def test_the_time_that_readers_wait_is_limited(loop_runner: LoopRunner, watched: bool) -> None:
    async def main() -> None:
        it = Body(BODY_TIMEOUT=1000, BODY_RATE=1)
        clock = Clock(it)
        if watched:
            it.watch()
        await read_slowly(it, clock, 600, chunk(b"x"))
        await read_slowly(it, clock, 600, chunk(b"x"))
        with pytest.raises(BodyTimeout, match="2 bytes in 1002 s"):
            await it.body.read_chunk()
        it.connection.give(chunk(b"late"))
        with pytest.raises(BodyTimeout):
            await it.body.read_chunk()
        it.body.close()
        await others_end()

    loop_runner(main)


def test_each_byte_grants_time(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        it = Body(BODY_TIMEOUT=1000, BODY_RATE=2)
        clock = Clock(it)
        await read_slowly(it, clock, 1000, chunk(b"x" * 4000))
        await read_slowly(it, clock, 1999, chunk(b"x"))
        await read_slowly(it, clock, 100, chunk(b"x"))
        with pytest.raises(BodyTimeout):
            await it.body.read_chunk()

    loop_runner(main)


@pytest.mark.parametrize("watched", [False, True])
def test_the_time_of_a_slow_handler_does_not_count(loop_runner: LoopRunner, watched: bool) -> None:
    async def main() -> None:
        it = Body(chunk(b"one"), chunk(b"two"), end(b"three"), BODY_TIMEOUT=1000, BODY_RATE=1)
        clock = Clock(it)
        if watched:
            it.watch()
        for expected in (b"one", b"two", b"three", b""):
            await settle()
            clock.now += 2000
            assert await it.body.read_chunk() == expected
        it.body.close()
        await others_end()

    loop_runner(main)


@pytest.mark.parametrize("watched", [False, True])
def test_a_client_that_stops_sending(loop_runner: LoopRunner, watched: bool) -> None:
    async def main() -> None:
        it = Body(chunk(b"x"), BODY_TIMEOUT=0.01)
        if watched:
            it.watch()
        assert await it.body.read_chunk() == b"x"
        with pytest.raises(BodyTimeout):
            await it.body.read_chunk()
        assert it.told == 0
        it.connection.leave()
        if watched:
            await settle()
            assert it.told == 1
        it.body.close()
        await others_end()

    loop_runner(main)


def test_a_timeout_of_the_callers_own_is_not_ours(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        it = Body()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(it.body.read_chunk(), 0.001)
        assert it.body.fault is None
        it.connection.give(end(b"x"))
        assert await it.body.read_chunk() == b"x"

    loop_runner(main)


@pytest.mark.parametrize("watched", [False, True])
def test_an_error_of_the_server_reaches_the_reader(
    loop_runner: LoopRunner, caplog: pytest.LogCaptureFixture, watched: bool
) -> None:
    async def main() -> None:
        failing = asyncio.Event()
        calls = 0

        async def receive() -> Message:
            nonlocal calls
            calls += 1
            await failing.wait()
            raise RuntimeError("no connection")

        body = RequestBody(receive, HttpSettings(), lambda: None)
        if watched:
            body._begin_watch()
        reading = asyncio.create_task(body.read_chunk())
        await settle()
        body._begin_watch()
        failing.set()
        with pytest.raises(RuntimeError, match="no connection"):
            await reading
        with pytest.raises(RuntimeError, match="no connection"):
            await body.read_chunk()
        body.close()
        await others_end()
        assert calls == 1

    loop_runner(main)
    assert [record.message for record in caplog.records] == ["The server's receive() failed"]
