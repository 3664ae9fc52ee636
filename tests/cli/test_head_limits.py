"""A request's head has to come in time, and in size; nothing else is held to that time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from uvicorn.server import ServerState

from django_loom.cli.head_limits import MAX_HEAD, LimitedProtocol
from django_loom.cli.server import Config
from tests.cli.certificates import Certificates
from tests.loops import LoopRunner
from tests.polling import aeventually

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HOLD = b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n"
PART = HEAD[:-9]
FOREVER = 600.0
SOON = 0.3  # a head that comes at once is there by then

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Upgraded(asyncio.Protocol):
    """Stands for uvicorn's WebSocket protocol."""

    def __init__(self, **kwargs: Any) -> None:
        """Take what uvicorn gives."""


class Server:
    """Listens in the test's own loop; with certificates, under TLS."""

    def __init__(self, head_timeout: float, pem: Certificates | None) -> None:
        self.pem = pem
        self.state = ServerState()
        self.config = Config(
            "tests.cli.app:application",
            grace=1,
            head_timeout=head_timeout,
            ws=Upgraded,
            log_config=None,
            timeout_keep_alive=600,
            ssl_certfile=pem and pem.both,
        )
        self.config.load()
        self._made: list[LimitedProtocol] = []
        self.port = 0

    def make_protocol(self) -> LimitedProtocol:
        protocol = LimitedProtocol(self.config, self.state, {})
        self._made.append(protocol)
        return protocol

    async def connect(self, data: bytes = b"") -> Client:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.pem and self.pem.client
        )
        writer.write(data)
        return reader, writer

    async def let_the_time_pass(self) -> None:
        """Until a connection that is made now, and so after all others, is closed."""
        reader, writer = await self.connect()
        assert await reader.read() == b""
        writer.close()

    @property
    def protocols(self) -> list[LimitedProtocol]:
        """Those of connections that are made: TLS has a handshake before."""
        return [protocol for protocol in self._made if protocol.transport is not None]

    @property
    def timers(self) -> list[bool]:
        """For each connection, if time is counted."""
        return [protocol._head_timer is not None for protocol in self.protocols]


@asynccontextmanager
async def server(head_timeout: float, pem: Certificates | None) -> AsyncIterator[Server]:
    it = Server(head_timeout, pem)
    listening = await asyncio.get_running_loop().create_server(
        it.make_protocol, "127.0.0.1", 0, ssl=it.config.ssl
    )
    it.port = listening.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        listening.close()
        for protocol in it.protocols:
            protocol.transport.abort()
        for task in it.state.tasks:
            task.cancel()
        await aeventually(lambda: not it.state.connections and not it.state.tasks)


Run = Callable[[Callable[[Server], Awaitable[None]], float], None]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("pem"))


@pytest.fixture(params=["plain", "TLS"])
def run(loop_runner: LoopRunner, certificates: Certificates, request: pytest.FixtureRequest) -> Run:
    pem = certificates if request.param == "TLS" else None

    def run(test: Callable[[Server], Awaitable[None]], head_timeout: float) -> None:
        async def main() -> None:
            async with server(head_timeout, pem) as it:
                await test(it)

        loop_runner(main)

    return run


async def response(client: Client) -> bytes:
    answer = await client[0].readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    return answer


# Time.


@pytest.mark.parametrize("sent", [b"", b"\r\n", PART, b"POST / HTTP/1.1\r\n"], ids=repr)
def test_a_head_that_does_not_come_in_time(run: Run, sent: bytes) -> None:
    async def test(it: Server) -> None:
        reader, writer = await it.connect(sent)
        assert await reader.read() == b""
        writer.close()
        await aeventually(lambda: not it.state.connections)

    run(test, SOON)


@pytest.mark.parametrize("sent", [PART, b"\r\n"], ids=repr)
def test_a_further_head_that_does_not_come_in_time(run: Run, sent: bytes) -> None:
    async def test(it: Server) -> None:
        client = await it.connect(HEAD)
        await response(client)
        client[1].write(sent)
        assert await client[0].read() == b""
        client[1].close()

    run(test, SOON)


def test_a_byte_now_and_then_does_not_begin_the_time_anew(run: Run) -> None:
    async def test(it: Server) -> None:
        _, writer = await it.connect(PART)
        (protocol,) = await protocols(it, 1)
        await aeventually(lambda: protocol._part == "head")
        timer = protocol._head_timer
        for byte in HEAD[len(PART) : -1]:
            before = protocol._head_size
            writer.write(bytes([byte]))
            await aeventually(lambda before=before: protocol._head_size > before)
            assert protocol._head_timer is timer
        writer.close()

    run(test, FOREVER)


async def protocols(it: Server, number: int) -> list[LimitedProtocol]:
    await aeventually(lambda: len(it.protocols) == number)
    return it.protocols


def test_time_is_counted_while_a_head_is_owed_only(run: Run) -> None:
    async def test(it: Server) -> None:
        client = _, writer = await it.connect()
        await aeventually(lambda: it.timers == [True])
        writer.write(PART)
        await aeventually(lambda: it.protocols[0]._part == "head")
        assert it.timers == [True]
        writer.write(HEAD[len(PART) :])
        await response(client)
        assert it.timers == [False], "idle: the keep-alive time is uvicorn's"
        writer.write(PART)
        await aeventually(lambda: it.timers == [True])
        writer.write(HEAD[len(PART) :] + PART)
        await response(client)
        await aeventually(lambda: it.protocols[0]._part == "head")
        writer.write(HEAD[len(PART) :])
        await response(client)
        assert it.timers == [False]
        writer.close()
        await aeventually(lambda: not it.state.connections)

    run(test, FOREVER)


def test_a_body_is_not_held_to_the_heads_time(run: Run) -> None:
    async def test(it: Server) -> None:
        client = await it.connect(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
        await it.let_the_time_pass()
        client[1].write(b"cd")
        await response(client)
        assert await client[0].readexactly(4) == b"abcd"
        client[1].close()

    run(test, SOON)


def test_a_head_that_waits_for_a_running_response_is_not_timed(run: Run) -> None:
    async def test(it: Server) -> None:
        client = await it.connect(HOLD)
        await aeventually(lambda: it.state.tasks)
        client[1].write(PART)
        await aeventually(lambda: it.protocols[0]._part == "head")
        assert it.timers == [False]
        client[1].close()

    run(test, FOREVER)


def test_an_upgraded_connection_is_not_timed(run: Run) -> None:
    async def test(it: Server) -> None:
        _, writer = await it.connect(
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        await aeventually(lambda: it.protocols and isinstance(protocol_of(it), Upgraded))
        assert it.timers == [False]
        writer.close()

    run(test, FOREVER)


def protocol_of(it: Server) -> asyncio.BaseProtocol:
    return it.protocols[0].transport.get_protocol()


# Size.


def test_a_head_that_is_too_large(run: Run) -> None:
    async def test(it: Server) -> None:
        client = await it.connect(HEAD[:-2] + b"X: ")
        await aeventually(lambda: it.protocols and it.protocols[0]._part == "head")
        client[1].write(b"x" * (MAX_HEAD + 1))
        answer = await client[0].read()
        assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
        assert b"connection: close" in answer
        client[1].close()

    run(test, FOREVER)


def test_a_large_head_within_the_limit(run: Run) -> None:
    async def test(it: Server) -> None:
        client = await it.connect(HEAD[:-2] + b"X: " + b"x" * (MAX_HEAD - 1000))
        client[1].write(b"\r\n\r\n")
        await response(client)
        client[1].write(HEAD)
        await response(client)
        client[1].close()

    run(test, FOREVER)


def test_a_body_has_no_such_limit(run: Run) -> None:
    async def test(it: Server) -> None:
        size = 4 * MAX_HEAD
        head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
        client = await it.connect(head + b"x" * size)
        await response(client)
        assert len(await client[0].readexactly(size)) == size
        client[1].close()

    run(test, FOREVER)


def test_a_head_too_large_behind_a_running_response_closes_the_connection(run: Run) -> None:
    async def test(it: Server) -> None:
        client = await it.connect(HOLD)
        await aeventually(lambda: it.state.tasks)
        client[1].write(PART)
        await aeventually(lambda: it.protocols[0]._part == "head")
        client[1].write(b"x" * (MAX_HEAD + 1))
        assert await client[0].read() == b""
        client[1].close()

    run(test, FOREVER)


def test_a_large_body_with_a_part_of_the_next_head_in_one_piece(run: Run) -> None:
    async def test(it: Server) -> None:
        client = await it.connect()
        (protocol,) = await protocols(it, 1)
        size = 2 * MAX_HEAD
        head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
        protocol.data_received(head + b"x" * size + PART)
        protocol.data_received(HEAD[len(PART) :])
        await response(client)
        await client[0].readexactly(size)
        await response(client)
        client[1].close()

    run(test, FOREVER)
