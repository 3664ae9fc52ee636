"""What the handler does with a request whose body arrives, of whatever class that is.

Middleware may give a request another subclass of Django's: what is ours is found by what the
request holds, not by methods that it may have lost.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from django_loom.offload import executor

from .body import RequestBody
from .body_stream import BodyStream

CHUNK_BYTES = 2**16


class BodyInMemory(BytesIO):
    """A small body, which stays readable: a task that outlives its request may want the form."""

    def close(self) -> None:
        """Do nothing: there is no file to close."""


def arriving_body(request: HttpRequest) -> RequestBody | None:
    """Return the body of a request that our handler serves, as it arrives."""
    body: RequestBody | None = vars(request).get("_arriving")
    return body


def body_is_unread(request: HttpRequest) -> bool:
    """Tell if nothing was taken from the body yet, so that it may not be here."""
    stream, read_started = vars(request).get("_stream"), getattr(request, "_read_started", True)
    return isinstance(stream, BodyStream) and not read_started


def may_have_body(request: HttpRequest) -> bool:
    """Tell if the head of the request leaves room for a body; see RFC 9112, section 6.3."""
    if "HTTP_TRANSFER_ENCODING" in request.META:
        return True
    if length := request.META.get("CONTENT_LENGTH"):
        return bool(length != "0")
    scope: dict[str, Any] = vars(request).get("scope", {})
    return not scope.get("http_version", "1.1").startswith("1")


def refuse_announced(request: HttpRequest, source: BodyStream) -> int:
    """Return the Content-Length in bytes, 0 if that is missing or malformed.

    :raises BodyTooLarge: it exceeds ``LOOM["MAX_BODY"]``.
    """
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0
    source.body.refuse_length(length)
    return length


def receive_body(request: Any) -> None:
    """Take in the body, or what middleware left of it, so that a coroutine need not wait."""
    source = vars(request).get("_stream")
    if not isinstance(source, BodyStream):
        return
    if not may_have_body(request):
        request._stream = BodyInMemory()
        return
    refuse_announced(request, source)
    file = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - the request closes it
        max_size=settings.FILE_UPLOAD_MAX_MEMORY_SIZE, dir=settings.FILE_UPLOAD_TEMP_DIR
    )
    try:
        is_on_disk = _fill(file, source)
    except BaseException:
        file.close()
        request._mark_post_parse_error()  # the page that tells of the error shows the form
        raise
    file.seek(0)
    if is_on_disk:
        request._stream = file
        return
    with file:
        request._stream = BodyInMemory(file.read())


def _fill(file: Any, source: BodyStream) -> bool:
    """Write the body to a file; tell if it was too large for memory."""
    while chunk := source.read(CHUNK_BYTES):
        if getattr(file, "_rolled", False):
            executor("files").call(file.write, chunk)
        else:
            file.write(chunk)
    return bool(getattr(file, "_rolled", False))


@contextmanager
def without_form(request: Any) -> Iterator[None]:
    """Let ``POST`` and ``FILES`` be empty for the length of a block, nothing being read."""
    request._mark_post_parse_error()
    try:
        yield
    finally:
        del request._post, request._files


def close_uploads(request: Any) -> None:
    """Close the files in whose midst an upload broke off: the form does not know of them."""
    for handler in request._upload_handlers:
        if (file := getattr(handler, "file", None)) is not None:
            file.close()
