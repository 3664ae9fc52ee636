"""RequestBody: who receives when, the disconnect, limits."""

from __future__ import annotations

import asyncio
import itertools
import random
from contextlib import suppress
from typing import Any

import pytest

from django_loom.exceptions import BodyInUse, BodyTimeout, BodyTooLarge, ClientDisconnected
from django_loom.http import body as body_module
from django_loom.http.body import RequestBody
from django_loom.http.conf import HttpSettings
from tests.http.asgi import Connection, Message, chunk, end
from tests.loops import LoopRunner

NEVER, AT_ONCE = 3600.0, 0.0


@pytest.fixture(autouse=True)
def watch_never(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No watch begins by itself."""
    monkeypatch.setattr(body_module, "WATCH_AFTER_SECONDS", NEVER)
    return monkeypatch


class Body:
    """A RequestBody on a connection, and how often it told of the disconnect."""

    def __init__(self, *messages: Message, **settings: Any) -> None:
        self.connection = Connection(*messages)
        self.told = 0
        self.body = RequestBody(self.connection.receive, HttpSettings(**settings), self._tell)

    def _tell(self) -> None:
        self.told += 1

    def watch(self) -> None:
        """What the timer does."""
        self.body._begin_watch()

    def read(self) -> asyncio.Task[bytes]:
        return asyncio.create_task(self.body.read_chunk())


async def settle() -> None:
    """Let everything that can run do so: no test here has a longer chain of callbacks."""
    for _ in range(10):
        await asyncio.sleep(0)


async def others_end() -> None:
    """No task is left but the caller's."""
    await settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_chunks_come_as_they_are_received_and_then_none(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        it = Body(chunk(b"one"), chunk(b""), chunk(b"two"), end(b"three"))
        assert [await it.body.read_chunk() for _ in range(5)] == [
            b"one",
            b"two",
            b"three",
            b"",
            b"",
        ]
        assert it.body.complete
        assert len(it.connection.taken) == 4

    loop_runner(main)


def test_messages_without_their_optional_keys(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        it = Body({"type": "http.request"})
        assert await it.body.read_chunk() == b""
        assert it.body.complete

    loop_runner(main)


def test_nothing_is_received_before_it_is_asked_for(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        it = Body(end(b"x"))
        await settle()
        assert it.connection.taken == []
        assert not it.connection.receiving
        it.body.close()
        await others_end()

    loop_runner(main)


def test_the_watch_takes_one_chunk_ahead_and_no_second(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        it = Body(chunk(b"one"), chunk(b"two"), end(b"three"))
        it.watch()
        await settle()
        assert len(it.connection.taken) == 1
        assert it.body.holds_chunk
        assert await it.body.read_chunk() == b"one"
        await settle()
        assert len(it.connection.taken) == 2
        assert [await it.body.read_chunk() for _ in range(3)] == [b"two", b"three", b""]
        it.body.close()
        await others_end()

    loop_runner(main)


def test_the_watch_begins_by_itself(
    loop_runner: LoopRunner, watch_never: pytest.MonkeyPatch
) -> None:
    watch_never.setattr(body_module, "WATCH_AFTER_SECONDS", AT_ONCE)

    async def main() -> None:
        it = Body()
        await it.connection.until(lambda: it.connection.receiving)
        it.connection.leave()
        await settle()
        assert it.told == 1

    loop_runner(main)


def test_no_watch_begins_after_the_end(
    loop_runner: LoopRunner, watch_never: pytest.MonkeyPatch
) -> None:
    watch_never.setattr(body_module, "WATCH_AFTER_SECONDS", AT_ONCE)

    async def main() -> None:
        it = Body(end(b"x"))
        it.body.close()
        await settle()
        assert it.connection.taken == []
        await others_end()

    loop_runner(main)


def test_a_reader_waits_for_what_the_watch_receives(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        it = Body()
        it.watch()
        await settle()
        reading = it.read()
        await settle()
        it.connection.give(chunk(b"one"))
        assert await reading == b"one"
        assert it.connection.overlaps == 0
        it.body.close()
        await others_end()

    loop_runner(main)


def test_the_watch_waits_for_a_reader_that_receives(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        it = Body()
        reading = it.read()
        await settle()
        it.watch()
        await settle()
        it.connection.give(chunk(b"one"))
        assert await reading == b"one"
        await settle()
        assert it.connection.receiving  # the watch, now
        assert it.connection.overlaps == 0
        it.connection.leave()
        await settle()
        assert it.told == 1

    loop_runner(main)


def test_the_watch_begins_after_a_reader_that_was_cancelled(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        it = Body()
        reading = it.read()
        await settle()
        it.watch()
        reading.cancel()
        await asyncio.wait([reading])
        it.connection.leave()
        await settle()
        assert it.told == 1
        assert it.connection.overlaps == 0

    loop_runner(main)


def test_after_the_body_the_watch_sees_the_disconnect(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        it = Body(end(b"x"))
        assert await it.body.read_chunk() == b"x"
        it.watch()
        await settle()
        assert it.told == 0
        it.connection.leave()
        await settle()
        assert it.told == 1
        assert it.body.disconnected

    loop_runner(main)


def test_after_a_body_that_is_too_long_the_watch_sees_the_disconnect(
    loop_runner: LoopRunner,
) -> None:
    """Its last message is here, and a view may go on without it."""

    async def main() -> None:
        it = Body(end(b"xxxxx"), MAX_BODY=4)
        with pytest.raises(BodyTooLarge):
            await it.body.read_chunk()
        it.watch()
        await settle()
        it.connection.leave()
        await settle()
        assert it.told == 1
        with pytest.raises(BodyTooLarge):
            await it.body.read_chunk()

    loop_runner(main)


@pytest.mark.parametrize("watched", [False, True])
def test_a_reader_is_told_of_the_disconnect(loop_runner: LoopRunner, watched: bool) -> None:
    async def main() -> None:
        it = Body(chunk(b"one"))
        assert await it.body.read_chunk() == b"one"
        if watched:
            it.watch()
        reading = it.read()
        await settle()
        it.connection.leave()
        with pytest.raises(ClientDisconnected, match="before it had sent the whole body"):
            await reading
        assert it.told == 1
        with pytest.raises(ClientDisconnected):
            await it.body.read_chunk()
        assert it.told == 1
        it.body.close()
        await others_end()

    loop_runner(main)


@pytest.mark.parametrize("watched", [False, True])
def test_the_task_of_the_request_is_cancelled_where_it_reads(
    loop_runner: LoopRunner, watched: bool
) -> None:
    async def main() -> None:
        connection = Connection()

        async def serve() -> None:
            task = asyncio.current_task()
            assert task is not None
            body = RequestBody(connection.receive, HttpSettings(), task.cancel)
            if watched:
                body._begin_watch()
                await settle()
            await body.read_chunk()

        serving = asyncio.create_task(serve())
        await settle()
        connection.leave()
        await asyncio.wait([serving])
        assert serving.cancelled()

    loop_runner(main)


def test_a_disconnect_with_a_chunk_ahead_is_seen_when_that_is_read(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        it = Body(chunk(b"one"))
        it.watch()
        await settle()
        it.connection.leave()
        await settle()
        assert it.told == 0
        assert await it.body.read_chunk() == b"one"
        await settle()
        assert it.told == 1

    loop_runner(main)


@pytest.mark.parametrize("body", [[], [chunk(b"x")], [end(b"x")]])
def test_nothing_is_told_after_the_end(loop_runner: LoopRunner, body: list[Message]) -> None:
    async def main() -> None:
        it = Body(*body)
        it.watch()
        await settle()
        it.connection.complete = True  # from now on receive() returns http.disconnect
        it.connection.give()
        it.body.close()
        await others_end()
        assert it.told == 0
        assert not it.body.disconnected

    loop_runner(main)


def test_a_reader_at_the_end_is_told_of_it(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        for watched in (False, True):
            it = Body()
            if watched:
                it.watch()
            reading = it.read()
            await settle()
            it.connection.complete = True
            it.body.close()
            it.connection.give()
            with pytest.raises(ValueError, match="its request has ended"):
                await reading
            assert it.told == 0
            await others_end()

    loop_runner(main)


def test_after_the_end_what_is_here_can_be_read_and_no_more(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        it = Body(chunk(b"one"))
        it.watch()
        await settle()
        it.body.close()
        it.connection.complete = True
        assert await it.body.read_chunk() == b"one"
        with pytest.raises(ValueError, match="its request has ended"):
            await it.body.read_chunk()
        await others_end()
        assert it.told == 0

    loop_runner(main)


def test_two_readers_are_refused(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        for watched in (False, True):
            it = Body()
            if watched:
                it.watch()
            first = it.read()
            await settle()
            with pytest.raises(BodyInUse, match="one task"):
                await it.body.read_chunk()
            it.connection.give(end(b"x"))
            assert await first == b"x"
            assert it.connection.overlaps == 0
            it.body.close()

    loop_runner(main)


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


class Walk:
    """A body in the hands of chance: what must hold whatever happens when."""

    def __init__(self) -> None:
        self.it = Body()
        self.given = b""
        self.got = b""
        self.reading: asyncio.Task[bytes] | None = None
        self.closed = self.ended = False
        self.told_at_close = 0

    def read(self) -> None:
        if self.reading is None:
            self.reading = self.it.read()

    def stop_reading(self) -> None:
        if self.reading is not None:
            self.reading.cancel()

    def give(self) -> None:
        if not self.ended:
            content = bytes([len(self.given) % 256]) * 3
            self.given += content
            self.it.connection.give(chunk(content))

    def give_end(self) -> None:
        if not self.ended:
            self.ended = True
            self.it.connection.give(end())

    def leave(self) -> None:
        self.ended = True
        self.it.connection.leave()

    def watch(self) -> None:
        if not self.closed:
            self.it.watch()

    def close(self) -> None:
        self.closed = True
        self.it.body.close()
        self.told_at_close = self.it.told

    async def step(self) -> None:
        await asyncio.sleep(0)

    async def check(self) -> None:
        if self.reading is not None and self.reading.done():
            with suppress(asyncio.CancelledError, ClientDisconnected, ValueError):
                self.got += self.reading.result()
            self.reading = None
        taken = b"".join(message.get("body", b"") for message in self.it.connection.taken)
        assert self.it.connection.overlaps == 0
        assert self.given.startswith(self.got)
        assert self.it.told <= 1
        if self.reading is None:
            assert len(taken) - len(self.got) <= 3, "more than one chunk ahead"
        if self.closed:
            assert self.it.told == self.told_at_close

    async def finish(self) -> None:
        """Whoever reads on gets the rest; nothing is left running."""
        await settle()
        await self.check()
        self.leave()
        while self.got != self.given or self.reading is not None:
            before = self.got
            self.read()
            await settle()
            await self.check()
            if self.got == before and self.reading is None:
                break
        if not self.closed:
            assert self.got == self.given
        self.close()
        await settle()
        await self.check()
        await others_end()


ACTIONS = ["read", "stop_reading", "give", "give_end", "leave", "watch", "close", "step"]


async def walk(actions: tuple[str, ...]) -> None:
    it = Walk()
    try:
        for action in actions:
            done = getattr(it, action)()
            if done is not None:
                await done
            await it.check()
        await it.finish()
    except BaseException as error:
        error.add_note(f"in {actions}")
        raise


def test_every_short_interleaving(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        for actions in itertools.product(ACTIONS, repeat=4):
            await walk(actions)

    loop_runner(main)


def test_long_interleavings_by_chance(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        chance = random.Random(20)
        weights = [5, 1, 5, 1, 0.3, 2, 0.3, 8]
        for _ in range(3000):
            await walk(tuple(chance.choices(ACTIONS, weights, k=25)))

    loop_runner(main)
