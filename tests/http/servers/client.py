"""HTTP clients for the checks, down to the socket where a test needs that."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage, HTTPResponse

SECONDS = 30.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: HTTPMessage
    body: bytes


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def get(port: int, path: str) -> Answer:
    return request(port, "GET", path)


def request(port: int, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
    """One request on a connection of its own; an underscore in a header's name is a hyphen."""
    connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        return ask(connection, method, path, body, **headers)
    finally:
        connection.close()


def ask(
    connection: HTTPConnection, method: str, path: str, body: bytes | None = None, **headers: str
) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named)
    response = connection.getresponse()
    return Answer(response.status, response.headers, response.read())


def send_head(connection: socket.socket, method: str, path: str, **headers: str) -> None:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())


def start_answer(connection: socket.socket) -> HTTPResponse:
    """Read the head of an answer; what is returned reads the rest as it comes."""
    response = HTTPResponse(connection)
    response.begin()
    return response


def read_answer(connection: socket.socket) -> Answer:
    response = start_answer(connection)
    return Answer(response.status, response.headers, response.read())


def send_until_answered(connection: socket.socket, parts: Iterable[bytes]) -> int:
    """Send a body until the server has something to say; return how many bytes went out."""
    sent = 0
    for part in parts:
        rest = memoryview(part)
        while rest:
            readable, _, _ = select.select([connection], [connection], [], SECONDS)
            if readable:
                return sent
            try:
                taken = connection.send(rest)
            except OSError:  # the server has closed; its answer may still be read
                return sent
            sent, rest = sent + taken, rest[taken:]
    return sent


def chunked(parts: Iterable[bytes]) -> Iterable[bytes]:
    """A body in the chunked coding of RFC 9112, section 7.1."""
    for part in parts:
        yield b"%x\r\n%b\r\n" % (len(part), part)
    yield b"0\r\n\r\n"


def multipart(parts: dict[str, bytes], boundary: str = "limit") -> bytes:
    """A form: each name that begins with `file` is a file."""
    body = b""
    for name, content in parts.items():
        filename = f'; filename="{name}"' if name.startswith("file") else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n\r\n'
        body += head.encode() + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()
