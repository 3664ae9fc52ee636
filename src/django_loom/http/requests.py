"""The request: Django's own, whose body is read when it is asked for."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.handlers.asgi import ASGIRequest
from django.http import QueryDict, UnreadablePostError

from django_loom.bridge import run_in_thread, run_sync
from django_loom.exceptions import LoomError

from .body import RequestBody
from .body_stream import BodyStream

_CHUNK_BYTES = 2**16


class _BrokenOff(Exception):
    """Stands for a cancellation while Django's parser reads: it closes its files on this only."""


class LoomRequest(ASGIRequest):
    """An ``HttpRequest`` that can also be read piece by piece in async code."""

    _stream: Any
    _is_parsing = False
    _cancellation: BaseException | None = None

    def __init__(self, scope: dict[str, Any], body: RequestBody) -> None:
        super().__init__(scope, BodyStream(body))
        self._arriving = body

    @property
    def body_fault(self) -> LoomError | None:
        """Why the body was refused, if it was."""
        return self._arriving.fault

    @property
    def client_has_left(self) -> bool:
        """Whether the client was seen to leave before the response was complete."""
        return self._arriving.disconnected

    async def stream(self) -> AsyncIterator[bytes]:
        """Iterate over the body in the pieces in which it arrives.

        :raises BodyTooLarge: the body is longer than ``LOOM["MAX_BODY"]``.
        :raises BodyTimeout: the body comes too slowly.
        """
        self._read_started = True
        if isinstance(self._stream, BodyStream):
            while chunk := await self._stream.next_chunk():
                yield chunk
        else:
            while chunk := self._stream.read(_CHUNK_BYTES):
                yield chunk

    async def aread(self) -> bytes:
        """Return the whole body, as ``request.body`` does.

        :raises RequestDataTooBig: it exceeds ``DATA_UPLOAD_MAX_MEMORY_SIZE`` bytes.
        """
        return await run_sync(lambda: self.body)

    async def aform(self) -> QueryDict:
        """Parse the form, so that ``POST`` and ``FILES`` are filled; return ``POST``.

        Files go to the upload handlers while they arrive.
        """
        form: QueryDict = await run_sync(lambda: self.POST)
        return form

    @property
    def body(self) -> bytes:
        """The whole body, read when it is first asked for."""
        if self.body_is_unread:
            self._stream.refuse_in_coroutine()
            self._stream = BytesIO(self._read_into_memory())
        content: bytes = super().body
        return content

    @property
    def body_is_unread(self) -> bool:
        """Whether nothing has been taken from the body yet, so that it may not be here."""
        return isinstance(self._stream, BodyStream) and not self._read_started

    def read(self, *args: Any, **kwargs: Any) -> Any:
        """Read from the body as from a file."""
        self._refuse_in_coroutine()
        try:
            return super().read(*args, **kwargs)
        except Exception:
            raise
        except BaseException as cancellation:
            if not self._is_parsing:
                raise
            self._cancellation = cancellation
        raise _BrokenOff

    def readline(self, *args: Any, **kwargs: Any) -> Any:
        """Read a line of the body as from a file."""
        self._refuse_in_coroutine()
        return super().readline(*args, **kwargs)

    def parse_file_upload(self, META: dict[str, Any], post_data: Any) -> Any:
        """Parse a form with files; it may have come in HTTP chunks.

        Django's parser takes a body without Content-Length for an empty one.
        """
        if isinstance(self._stream, BodyStream):
            self._refuse_announced(self._stream)
        if "CONTENT_LENGTH" not in META and self.may_have_body:
            META = {**META, "CONTENT_LENGTH": sys.maxsize}
        self._is_parsing = True
        try:
            return super().parse_file_upload(META, post_data)
        finally:
            self._is_parsing = False
            self._raise_cancellation()

    def _raise_cancellation(self) -> None:
        cancellation, self._cancellation = self._cancellation, None
        try:
            if cancellation is not None:
                raise cancellation from None
        finally:
            del cancellation  # this frame is in its traceback

    @property
    def may_have_body(self) -> bool:
        """Whether the head of the request leaves room for a body; see RFC 9112, section 6.3."""
        if "HTTP_TRANSFER_ENCODING" in self.META:
            return True
        if length := self.META.get("CONTENT_LENGTH"):
            return bool(length != "0")
        return not self.scope.get("http_version", "1.1").startswith("1")

    @contextmanager
    def without_form(self) -> Iterator[None]:
        """Let ``POST`` and ``FILES`` be empty for the length of a block, nothing being read."""
        self._mark_post_parse_error()
        try:
            yield
        finally:
            del self._post, self._files

    def close(self) -> None:
        """Close the body and the files, those too in whose midst the upload broke off."""
        super().close()
        for handler in self._upload_handlers:
            if (file := getattr(handler, "file", None)) is not None:
                file.close()

    def receive_body(self) -> None:
        """Take in the body, or what middleware left of it, so that a coroutine need not wait."""
        if not isinstance(self._stream, BodyStream):
            return
        if not self.may_have_body:
            self._stream = BytesIO()
            return
        source = self._stream
        self._refuse_announced(source)
        file = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - the request closes it
            max_size=settings.FILE_UPLOAD_MAX_MEMORY_SIZE, dir=settings.FILE_UPLOAD_TEMP_DIR
        )
        try:
            while chunk := source.read(_CHUNK_BYTES):
                if getattr(file, "_rolled", False):
                    run_in_thread(file.write, chunk)
                else:
                    file.write(chunk)
        except BaseException:
            file.close()
            self._mark_post_parse_error()  # the page that tells of the error shows the form
            raise
        file.seek(0)
        self._stream = file

    def _load_post_and_files(self) -> None:
        if self.method == "POST":
            self._refuse_in_coroutine()
        try:
            super()._load_post_and_files()
        except (LoomError, UnreadablePostError):
            self._mark_post_parse_error()
            raise

    def _refuse_in_coroutine(self) -> None:
        # Before Django notes that reading has begun: what is awaited next can still read.
        if isinstance(self._stream, BodyStream):
            self._stream.refuse_in_coroutine()

    def _refuse_announced(self, source: BodyStream) -> int:
        """Return the Content-Length in bytes, 0 if that is missing or malformed."""
        try:
            length = int(self.META.get("CONTENT_LENGTH") or 0)
        except ValueError:
            return 0
        source.body.refuse_length(length)
        return length

    def _read_into_memory(self) -> bytes:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        announced = self._refuse_announced(self._stream)
        if limit is None:
            return bytes(self._read_or_unreadable(-1))
        content = b"" if announced > limit else self._read_or_unreadable(limit + 1)
        if announced > limit or len(content) > limit:
            self._read_started = True
            raise RequestDataTooBig("Request body exceeded settings.DATA_UPLOAD_MAX_MEMORY_SIZE.")
        return content

    def _read_or_unreadable(self, size: int) -> bytes:
        try:
            content: bytes = self._stream.read(size)
        except OSError as error:
            self._read_started = True
            raise UnreadablePostError(*error.args) from error
        return content
