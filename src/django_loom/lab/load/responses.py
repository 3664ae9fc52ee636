"""Read HTTP/1.1 responses as they come in, and keep nothing of their bodies."""

from __future__ import annotations

from django_loom.lab.exceptions import MissingPackage, ResponseError

try:
    from httptools import HttpParserError, HttpResponseParser
except ImportError as error:
    raise MissingPackage.of_extra("the lab", "httptools") from error

MAX_HEAD = 65536  # bytes


class Response:
    """One response after another of a connection without pipelining.

    `status`, `size` (bytes in all), `body_size` and `keep_alive` are those of the one that came
    last; `headers` has its names as they were written, and the last value of each.
    """

    # What begins with on_ is called by httptools.
    __slots__ = (
        "_head_only",
        "_head_read",
        "_parser",
        "_whole",
        "body_size",
        "headers",
        "keep_alive",
        "on_header",
        "size",
        "status",
    )

    def __init__(self, head_only: bool = False) -> None:
        self._head_only = head_only
        self.headers: dict[bytes, bytes] = {}
        # Not a method: most of what a response costs here is one call for each header.
        self.on_header = self.headers.__setitem__
        self._parser = HttpResponseParser(self)
        self.reset()

    def reset(self) -> None:
        """Expect the next response from its first byte."""
        if self._head_only:  # of whose head the parser waits for the body
            self._parser = HttpResponseParser(self)
        self._head_read = self._whole = self.keep_alive = False
        self.status = self.size = self.body_size = 0
        self.headers.clear()

    def feed(self, data: bytes) -> bool:
        """Take bytes in; whether the response is whole now.

        :raises ResponseError: this is not a response, or more than one.
        """
        self.size += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            raise ResponseError(f"expected one HTTP/1.1 response: {error}") from error
        if not self._head_read and self.size > MAX_HEAD:
            raise ResponseError(f"expected the end of the head within {MAX_HEAD} bytes")
        return self._whole

    def close(self) -> bool:
        """Note that the connection ended; whether that makes the response whole."""
        framing = {b"content-length", b"transfer-encoding"}
        return self._head_read and not framing & {name.lower() for name in self.headers}

    def header(self, name: bytes) -> str:
        """The value of a header, by its lower-case name; empty if it is not there."""
        values = (value for each, value in self.headers.items() if each.lower() == name)
        return next(values, b"").decode("latin-1").strip()

    def on_message_begin(self) -> None:
        if self._whole:
            raise ResponseError("something came after the end of the response")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status < 200:  # an interim response: the final one follows
            self.headers.clear()
            return
        self._head_read = True
        if self._head_only:
            self.on_message_complete()

    def on_body(self, body: bytes) -> None:
        self.body_size += len(body)

    def on_message_complete(self) -> None:
        if self._head_read:
            self.keep_alive = self._parser.should_keep_alive()
            self._whole = True
