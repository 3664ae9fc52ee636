"""RequestBody: who receives when, the disconnect, limits."""

from __future__ import annotations

import asyncio

import pytest

from django_loom.exceptions import BodyInUse, BodyTooLarge, ClientDisconnected
from django_loom.http import body as body_module
from django_loom.http.body import RequestBody
from django_loom.http.conf import HttpSettings
from tests.http.asgi import Connection, Message, chunk, end
from tests.http.bodies import AT_ONCE, NEVER, Body, others_end, settle
from tests.loops import LoopRunner


@pytest.fixture(autouse=True)
def watch_never(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No watch begins by itself."""
    monkeypatch.setattr(body_module, "WATCH_AFTER_SECONDS", NEVER)
    return monkeypatch


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
