"""A student's client, down to the socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.http.servers.client import Answer, connect, read_answer, request, send_head

from .site import Site

FORM = "multipart/form-data; boundary=limit"
HAND_IN = "/homework/hand-in/"
END = b"\r\n--limit--\r\n"
TOKEN = "t" * 32
SESSION_COOKIE = "academy_session"
MIB = 2**20


def start_of_form(name: str) -> bytes:
    """A form up to the content of its file."""
    disposition = f'Content-Disposition: form-data; name="file"; filename="{name}"'
    return f"--limit\r\n{disposition}\r\n\r\n".encode()


def form(content: bytes, name: str) -> bytes:
    return start_of_form(name) + content + END


def message_of(answer: Answer) -> str:
    text: str = json.loads(answer.body)["message"]
    return text


@dataclass
class Student:
    """Sends requests in a student's session."""

    site: Site
    name: str

    @property
    def cookies(self) -> str:
        session = self.site.sessions[self.name]
        return f"{SESSION_COOKIE}={session}; academy_csrf={TOKEN}"

    def get(self, path: str, **headers: str) -> Answer:
        return request(self.site.port, "GET", path, Cookie=self.cookies, **headers)

    @contextmanager
    def handing_in(self, **headers: str) -> Iterator[socket.socket]:
        """A connection on which the head of an upload was sent; the block sends the body."""
        with closing(connect(self.site.port)) as connection:
            head = {
                "Cookie": self.cookies,
                "Accept": "application/json",
                "Content-Type": FORM,
                "X-CSRFToken": TOKEN,
                **{name.replace("_", "-"): value for name, value in headers.items()},
            }
            send_head(connection, "POST", HAND_IN, **head)
            yield connection

    def hand_in(self, content: bytes, name: str, **headers: str) -> Answer:
        """Send a whole file at once."""
        body = form(content, name)
        with self.handing_in(Content_Length=str(len(body)), **headers) as connection:
            connection.sendall(body)
            return read_answer(connection)

    def hand_in_parts(self, parts: Iterable[bytes], length: int, name: str) -> Answer:
        """Send a file of a length in bytes, piece by piece."""
        start = start_of_form(name)
        announced = str(len(start) + length + len(END))
        with self.handing_in(Content_Length=announced) as connection:
            for part in (start, *parts, END):
                connection.sendall(part)
            return read_answer(connection)

    def delete(self, identity: str) -> Answer:
        headers: dict[str, Any] = {"Cookie": self.cookies, "X_CSRFToken": TOKEN}
        return request(self.site.port, "POST", f"/homework/{identity}/delete/", b"", **headers)
