"""A network that is late, slow, stalled or broken loses nothing that it does not break."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from django_loom.lab.servers.flow import MOST_HELD, Link
from django_loom.lab.servers.proxies import ThreadedProxy, delayed
from django_loom.lab.servers.proxy import Proxy
from tests.polling import eventually

LINES = [b"%d\n" % number for number in range(200)]


class Network:
    """A server's listening socket, a proxy before it, and the sockets of both sides."""

    def __init__(self, listener: socket.socket, proxy: ThreadedProxy) -> None:
        self.listener = listener
        self.proxy = proxy

    def connect(self) -> tuple[socket.socket, socket.socket]:
        client = socket.create_connection(("127.0.0.1", self.proxy.port), timeout=30)
        upstream, _ = self.listener.accept()
        upstream.settimeout(30)
        return client, upstream


@contextmanager
def network(rate: float | None = None) -> Iterator[Network]:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        ThreadedProxy("127.0.0.1", listener.getsockname()[1], rate=rate) as proxy,
    ):
        yield Network(listener, proxy)


def received(side: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (part := side.recv(size - len(data))):
        data += part
    return data


@pytest.mark.parametrize("milliseconds", [0.0, 1.0])
def test_all_arrives_in_order_and_so_does_the_answer(milliseconds: float) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        delayed("127.0.0.1", listener.getsockname()[1], milliseconds) as port,
        socket.create_connection(("127.0.0.1", port), timeout=30) as client,
    ):
        upstream, _ = listener.accept()
        with upstream, upstream.makefile("rb") as received, client.makefile("rb") as answered:
            for line in LINES:
                client.sendall(line)
            assert [received.readline() for _ in LINES] == LINES
            upstream.sendall(b"answer\n")
            assert answered.readline() == b"answer\n"
            client.shutdown(socket.SHUT_WR)
            assert received.readline() == b""


def test_a_server_that_is_not_there_closes_the_proxys_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = listener.getsockname()[1]
    with (
        delayed("127.0.0.1", nobody, 1) as port,
        socket.create_connection(("127.0.0.1", port), timeout=30) as client,
    ):
        assert client.recv(1) == b""


def test_a_stall_holds_data_and_ends_and_then_all_goes_on() -> None:
    with network() as there:
        client, upstream = there.connect()
        with client, upstream:
            client.sendall(b"before")
            assert received(upstream, 6) == b"before"
            there.proxy.stall()
            client.sendall(b"meanwhile")
            client.shutdown(socket.SHUT_WR)
            eventually(lambda: there.proxy.held == 1)
            upstream.setblocking(False)
            with pytest.raises(BlockingIOError):
                upstream.recv(1)
            upstream.settimeout(30)
            there.proxy.resume()
            assert received(upstream, 20) == b"meanwhile"
            assert there.proxy.held == 0


def test_only_new_connections_stall() -> None:
    with network() as there:
        old = there.connect()
        there.proxy.stall_new()
        new = there.connect()
        for client, _ in (old, new):
            client.sendall(b"data")
        assert received(old[1], 4) == b"data"
        eventually(lambda: there.proxy.held == 1)
        there.proxy.resume()
        assert received(new[1], 4) == b"data"
        assert there.proxy.links == 2
        for side in (*old, *new):
            side.close()


def test_a_connection_that_comes_as_the_stall_ends_is_not_forgotten() -> None:
    async def main() -> bool:
        proxy = Proxy("127.0.0.1", 1)
        proxy.stall()
        link = proxy._link()
        proxy.resume()
        link.from_client.connection_made(Transport())
        await asyncio.gather(*proxy._connecting)
        return link.flows

    assert asyncio.run(main())


def test_an_end_is_held_while_data_is_not() -> None:
    with network() as there:
        client, upstream = there.connect()
        with client:
            there.proxy.hold_ends()
            upstream.sendall(b"farewell")
            upstream.close()
            assert received(client, 8) == b"farewell"
            eventually(lambda: there.proxy.held == 1)
            there.proxy.resume()
            assert client.recv(1) == b""


def test_a_break_ends_both_sides() -> None:
    with network() as there:
        client, upstream = there.connect()
        with client, upstream:
            client.sendall(b"data")
            assert received(upstream, 4) == b"data"
            there.proxy.break_all()
            assert client.recv(1) == upstream.recv(1) == b""
        assert there.proxy.held == 0


class Transport:
    """A side that writes down what it is told."""

    def __init__(self) -> None:
        self.reads = True
        self.written = 0

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def abort(self) -> None: ...

    def write(self, data: bytes) -> None:
        self.written += len(data)


def test_who_sends_too_much_while_nobody_reads_has_to_wait() -> None:
    link = Link(0.0, None, on_made=lambda link: None, on_over=lambda link: None)
    sender, receiver = link.from_client, link.from_server
    from_sender, to_receiver = Transport(), Transport()
    sender.connection_made(from_sender)
    sender.data_received(bytes(MOST_HELD))
    assert from_sender.reads
    sender.data_received(b"!")
    assert not from_sender.reads
    receiver.connection_made(to_receiver)
    assert to_receiver.written == MOST_HELD + 1
    assert from_sender.reads
    receiver.pause_writing()
    assert not from_sender.reads
    receiver.resume_writing()
    assert from_sender.reads


def test_much_data_goes_through_as_it_is_read() -> None:
    data = random.Random(1).randbytes(4 * MOST_HELD)
    with network() as there:
        client, upstream = there.connect()
        with client, upstream:
            sending = threading.Thread(target=client.sendall, args=[data])
            sending.start()
            assert received(upstream, len(data)) == data
            sending.join()


def test_a_rate_lets_pass_a_little_at_a_time() -> None:
    with network(rate=0.001) as there:
        client, upstream = there.connect()
        with client, upstream:
            client.sendall(b"data")
            assert received(upstream, 1) == b"d"
            assert there.proxy.held == 1
    with network(rate=100_000) as there:
        client, upstream = there.connect()
        with client, upstream:
            client.sendall(b"".join(LINES))
            assert received(upstream, len(b"".join(LINES))) == b"".join(LINES)
