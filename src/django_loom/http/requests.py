"""The request: Django's own, whose body is read when it is asked for."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.handlers.asgi import ASGIRequest
from django.http import QueryDict, UnreadablePostError

from django_loom.bridge import run_sync
from django_loom.exceptions import LoomError

from .arriving import (
    CHUNK_BYTES,
    body_is_unread,
    close_uploads,
    may_have_body,
    refuse_announced,
)
from .body import RequestBody
from .body_stream import BodyStream


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
            while chunk := self._stream.read(CHUNK_BYTES):
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
        return body_is_unread(self)

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
            refuse_announced(self, self._stream)
        if "CONTENT_LENGTH" not in META and may_have_body(self):
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

    def close(self) -> None:
        """Close the body and the files, those too in whose midst the upload broke off."""
        super().close()
        close_uploads(self)

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

    def _read_into_memory(self) -> bytes:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        announced = refuse_announced(self, self._stream)
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
