"""Sending responses: heads, parts, errors of the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.http import HttpResponse, StreamingHttpResponse

from django_loom.exceptions import ClientDisconnected
from django_loom.http.responses import (
    CHUNK_BYTES,
    iterators_closed,
    send_head,
    send_no_content,
    send_parts,
    send_response,
    until_client_leaves,
)
from tests.http.asgi import Connection, Message
from tests.loops import LoopRunner


def test_a_head(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        response = HttpResponse(status=418, headers={"X-Name": "é", "Content-Type": "a/b"})
        response.set_cookie("one", "1")
        response.set_cookie("two", "2", secure=True)
        connection = Connection()
        await send_head(response, connection.send)
        assert connection.sent == [
            {
                "type": "http.response.start",
                "status": 418,
                "headers": [
                    (b"X-Name", "é".encode("latin1")),
                    (b"Content-Type", b"a/b"),
                    (b"Set-Cookie", b"one=1; Path=/"),
                    (b"Set-Cookie", b"two=2; Path=/; Secure"),
                ],
            }
        ]

    loop_runner(main)


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        (0, [0]),
        (1, [1]),
        (CHUNK_BYTES, [CHUNK_BYTES]),
        (CHUNK_BYTES + 1, [CHUNK_BYTES, 1]),
        (2 * CHUNK_BYTES, [CHUNK_BYTES, CHUNK_BYTES]),
    ],
)
def test_content_goes_in_parts_that_are_not_too_large(
    loop_runner: LoopRunner, size: int, sizes: list[int]
) -> None:
    async def main() -> None:
        content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        connection = Connection()
        await send_response(HttpResponse(content), connection.send, with_content=True)
        head, *body = connection.sent
        assert head["type"] == "http.response.start"
        assert [len(message["body"]) for message in body] == sizes
        assert b"".join(message["body"] for message in body) == content
        more = [message.get("more_body", False) for message in body]
        assert more == [True] * (len(sizes) - 1) + [False]

    loop_runner(main)


async def parts(closed: list[bool], *, fails: bool = False) -> AsyncIterator[bytes]:
    try:
        yield b"one"
        yield b"two"
        if fails:
            raise ValueError("mine")
    finally:
        closed.append(True)


def test_parts_and_an_empty_end(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        connection = Connection()
        await send_parts(parts([]), connection.send)
        assert [message.get("body") for message in connection.sent] == [b"one", b"two", None]
        more = [message.get("more_body", False) for message in connection.sent]
        assert more == [True, True, False]

    loop_runner(main)


def test_no_end_is_sent_after_an_error(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        connection = Connection()
        with pytest.raises(ValueError, match="mine"):
            await send_parts(parts([], fails=True), connection.send)
        assert not connection.complete

    loop_runner(main)


def test_no_content(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        connection = Connection()
        await send_no_content(connection.send)
        assert connection.sent == [{"type": "http.response.body"}]

    loop_runner(main)


def test_the_views_own_generator_is_closed_when_the_sending_fails(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        closed: list[bool] = []
        response = StreamingHttpResponse(parts(closed))

        async def send(message: Message) -> None:
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            async with iterators_closed(response):
                await send_parts(response.streaming_content, send)
        assert closed == [True]

    loop_runner(main)


BODY = {"type": "http.response.body"}
MORE = BODY | {"more_body": True}


@pytest.mark.parametrize("message", [{"type": "http.response.start"}, MORE, BODY])
@pytest.mark.parametrize("error", [OSError, ConnectionResetError, BrokenPipeError])
def test_a_connection_that_fails_is_a_client_that_left(
    loop_runner: LoopRunner, message: Message, error: type[Exception]
) -> None:
    async def main() -> None:
        async def send(message: Message) -> None:
            raise error

        with pytest.raises(ClientDisconnected) as caught:
            await until_client_leaves(send, at_the_end=list)(message)
        assert isinstance(caught.value.__cause__, error)

    loop_runner(main)


def test_other_errors_of_the_server_are_not(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        async def send(message: Message) -> None:
            raise RuntimeError("of the server")

        with pytest.raises(RuntimeError, match="of the server"):
            await until_client_leaves(send, at_the_end=list)(BODY)

    loop_runner(main)


PATH = {"type": "http.response.pathsend", "path": "/file"}


@pytest.mark.parametrize("last", [BODY, BODY | {"more_body": False}, PATH])
def test_the_end_is_told_before_the_last_message(loop_runner: LoopRunner, last: Any) -> None:
    async def main() -> None:
        events: list[Any] = []

        async def send(message: Message) -> None:
            await asyncio.sleep(0)
            events.append(message)

        checked = until_client_leaves(send, at_the_end=lambda: events.append("end"))
        for message in ({"type": "http.response.start"}, MORE, last):
            await checked(message)
        assert events == [{"type": "http.response.start"}, MORE, "end", last]

    loop_runner(main)
