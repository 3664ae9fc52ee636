"""BodyStream: the body as a file, in a greenlet, in a thread, and refused in a coroutine."""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import Callable
from typing import Any

import pytest

from django_loom import run_sync
from django_loom.exceptions import BodyNotRead, BodyTooLarge, ClientDisconnected
from django_loom.http import body as body_module
from django_loom.http.body import RequestBody
from django_loom.http.body_stream import BodyStream
from django_loom.http.conf import HttpSettings
from tests.http.asgi import Connection, Message, chunk, end
from tests.loops import LoopRunner

Run = Callable[..., Any]
PLACES: list[Run] = [run_sync, asyncio.to_thread]
everywhere = pytest.mark.parametrize("run", PLACES, ids=["greenlet", "thread"])


@pytest.fixture(autouse=True)
def watch_never(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the watch would take a chunk ahead of those that are asked for."""
    monkeypatch.setattr(body_module, "WATCH_AFTER_SECONDS", 3600.0)


def stream_of(*messages: Message, **settings: Any) -> tuple[BodyStream, Connection]:
    connection = Connection(*messages)
    body = RequestBody(connection.receive, HttpSettings(**settings), lambda: None)
    return BodyStream(body), connection


def cut(content: bytes, chance: random.Random) -> list[Message]:
    """The content in random pieces, some of them empty."""
    messages = []
    while content:
        size = chance.choice([0, 1, 2, 5, 20])
        messages.append(chunk(content[:size]))
        content = content[size:]
    return [*messages, end()]


@everywhere
def test_reading_is_as_from_a_file(loop_runner: LoopRunner, run: Run) -> None:
    def compare(stream: BodyStream, content: bytes, chance: random.Random) -> None:
        file = io.BytesIO(content)
        for _ in range(60):
            method = chance.choice(["read", "readline"])
            size = chance.choice([0, 1, 2, 3, 7, 30])
            if method == "readline" and chance.random() < 0.5:
                size = -1
            expected = getattr(file, method)(size)
            assert getattr(stream, method)(size) == expected
        assert stream.read() == file.read()
        assert stream.read() == stream.readline() == stream.read(5) == b""

    async def main() -> None:
        chance = random.Random(20)
        for _ in range(60):
            content = bytes(chance.choices(b"abc\n", k=chance.randrange(200)))
            stream, connection = stream_of(*cut(content, chance))
            await run(compare, stream, content, chance)
            assert connection.overlaps == 0
            stream.body.close()

    loop_runner(main)


@everywhere
@pytest.mark.parametrize("size", [-1, None])
def test_all_of_it(loop_runner: LoopRunner, run: Run, size: int | None) -> None:
    async def main() -> None:
        stream, _ = stream_of(chunk(b"one\n"), end(b"two"))
        assert await run(stream.readline, size) == b"one\n"
        assert await run(stream.read, size) == b"two"
        assert (stream.readable(), stream.seekable()) == (True, False)
        stream.body.close()

    loop_runner(main)


@everywhere
def test_no_more_is_received_than_is_asked_for(loop_runner: LoopRunner, run: Run) -> None:
    async def main() -> None:
        stream, connection = stream_of(chunk(b"one"), chunk(b"two"), chunk(b"three"))
        assert await run(stream.read, 0) == b""
        assert await run(stream.read, 2) == b"on"
        assert await run(stream.read, 1) == b"e"
        assert len(connection.taken) == 1
        assert await run(stream.read, 1) == b"t"
        assert len(connection.taken) == 2
        stream.body.close()

    loop_runner(main)


@everywhere
def test_the_caller_waits_for_the_client(loop_runner: LoopRunner, run: Run) -> None:
    async def main() -> None:
        stream, connection = stream_of()
        reading = asyncio.ensure_future(run(stream.read, 6))
        for content in (b"one", b"two"):
            await connection.until(lambda: connection.receiving)
            connection.receiving = False
            connection.give(chunk(content))
        assert await reading == b"onetwo"
        stream.body.close()

    loop_runner(main)


@everywhere
def test_errors_come_where_it_is_read(loop_runner: LoopRunner, run: Run) -> None:
    async def main() -> None:
        stream, connection = stream_of(chunk(b"one"), chunk(b"two"), MAX_BODY=4)
        with pytest.raises(BodyTooLarge):
            await run(stream.read)
        stream, connection = stream_of(chunk(b"one"))
        connection.leave()
        with pytest.raises(ClientDisconnected):
            await run(stream.read)

    loop_runner(main)


@everywhere
def test_a_closed_one_is_not_read(loop_runner: LoopRunner, run: Run) -> None:
    async def main() -> None:
        stream, connection = stream_of(chunk(b"one"))
        assert await run(stream.read, 1) == b"o"
        stream.close()
        for method in (stream.read, stream.readline):
            with pytest.raises(ValueError, match="its request has ended"):
                await run(method, 1)
        with pytest.raises(ValueError, match="its request has ended"):
            await stream.next_chunk()
        assert len(connection.taken) == 1

    loop_runner(main)


def test_a_coroutine_is_told_what_to_await(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        stream, connection = stream_of(end(b"x"))
        for method in (stream.read, stream.readline, stream.refuse_in_coroutine):
            with pytest.raises(BodyNotRead, match=r"await request\.aform\(\)"):
                method()
        assert connection.taken == []
        assert await run_sync(stream.read) == b"x"
        stream.refuse_in_coroutine()  # all is here: nothing to wait for
        assert stream.read() == stream.readline() == b""

    loop_runner(main)


def test_a_coroutine_takes_the_chunks_as_they_come(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        stream, _ = stream_of(chunk(b"one"), chunk(b"two"), end(b"three"))
        assert await run_sync(stream.read, 1) == b"o"
        assert [await stream.next_chunk() for _ in range(4)] == [b"ne", b"two", b"three", b""]

    loop_runner(main)


def test_many_lines_in_one_message(loop_runner: LoopRunner) -> None:
    """Minutes, if each line copied what follows it."""

    async def main() -> None:
        lines = [b"%d\n" % number for number in range(100_000)]
        stream, _ = stream_of(end(b"".join(lines)))
        assert await run_sync(lambda: list(iter(stream.readline, b""))) == lines

    loop_runner(main)
