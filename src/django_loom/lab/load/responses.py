"""Read HTTP/1.1 responses as they come in, and keep nothing of their bodies.

The framing is that of RFC 9112, sections 6 and 7.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from django_loom.lab.exceptions import ResponseError

MAX_HEAD = 65536  # bytes of a head, or of a chunked body's trailer
MAX_LINE = 1024  # bytes of a line with a chunk's size
STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-9][0-9][0-9](?: |\r|$)")
CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,15}")
FRAMING = re.compile(
    rb"\r\n(content-length|transfer-encoding|connection):[ \t]*([^\r\n]*?)[ \t]*(?=\r|$)",
    re.IGNORECASE,
)
WITHOUT_BODY = {204, 304}


class ResponseParser:
    """One response after another of a connection; a connection without pipelining."""

    __slots__ = ("_head_only", "_left", "_pending", "_step", "head", "keep_alive", "size", "status")

    def __init__(self, head_only: bool = False) -> None:
        self._head_only = head_only
        self.reset()

    def reset(self) -> None:
        """Expect the next response from its first byte."""
        self._pending = b""
        self._step: Callable[[bytes], bool] = self._head
        self._left = 0
        self.status = 0
        self.head = b""
        self.size = 0
        self.keep_alive = False

    def feed(self, data: bytes) -> bool:
        """Take bytes in; whether the response is whole now.

        Raises `ResponseError` for what is not a response, or is more than one.
        """
        self.size += len(data)
        if self._pending:
            data = self._pending + data
            self._pending = b""
        return self._step(data)

    def close(self) -> bool:
        """Note that the connection ended; whether that makes the response whole."""
        return self._step == self._until_close

    def _head(self, data: bytes) -> bool:
        while (end := data.find(b"\r\n\r\n")) >= 0:
            head, data = data[:end], data[end + 4 :]
            if not STATUS_LINE.match(head):
                raise ResponseError(f"expected the head of an HTTP response, not {head[:40]!r}")
            self.status = int(head[9:12])
            if self.status >= 200 or self.status == 101:
                self.head = head
                self._step = self._framing(head)
                return self._step(data)
            # An interim response: the final one follows.
        return self._wait(data, MAX_HEAD)

    def _framing(self, head: bytes) -> Callable[[bytes], bool]:
        fields: dict[bytes, bytes] = {}
        for name, value in FRAMING.findall(head):
            known = fields.setdefault(name.lower(), value)
            if known != value and name.lower() == b"content-length":
                raise ResponseError("the response has two different Content-Length")
        connection = fields.get(b"connection", b"").lower()
        self.keep_alive = (
            b"close" not in connection if head[7:8] == b"1" else b"keep-alive" in connection
        )
        if self._head_only or self.status in WITHOUT_BODY:
            return self._counted
        if coding := fields.get(b"transfer-encoding"):
            return self._chunks if coding.lower().endswith(b"chunked") else self._until_close
        if (length := fields.get(b"content-length")) is None:
            self.keep_alive = False
            return self._until_close
        if not length.isdigit():
            raise ResponseError(f"expected a number in Content-Length, not {length[:40]!r}")
        self._left = int(length)
        return self._counted

    def _counted(self, data: bytes) -> bool:
        self._left -= len(data)
        if self._left < 0:
            raise ResponseError(f"{-self._left} bytes came after the end of the response")
        return not self._left

    def _until_close(self, data: bytes) -> bool:
        return False

    def _chunks(self, data: bytes) -> bool:
        at = 0
        while True:
            if len(data) - at < self._left:
                self._left -= len(data) - at
                return False
            at += self._left
            if self._left and data[at - 1 : at] != b"\n":
                raise ResponseError("a chunk is longer than its size says")
            self._left = 0
            end = data.find(b"\r\n", at)
            if end < 0:
                return self._wait(data[at:], MAX_LINE)
            size = chunk_size(data[at:end])
            if not size:
                self._step = self._trailer
                return self._trailer(data[end:])
            self._left = size + 2  # and its line end
            at = end + 2

    def _trailer(self, data: bytes) -> bool:
        # The data begins with the line end of the last chunk's size, so an empty trailer is two.
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return self._wait(data, MAX_HEAD)
        self._left = 0
        return self._counted(data[end + 4 :])

    def _wait(self, data: bytes, limit: int) -> bool:
        if len(data) > limit:
            raise ResponseError(f"expected the end of a line or head within {limit} bytes")
        self._pending = data
        return False


def chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not CHUNK_SIZE.fullmatch(digits):
        raise ResponseError(f"expected the size of a chunk, not {digits[:40]!r}")
    return int(digits, 16)
