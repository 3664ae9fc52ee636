"""FileResponse: validators, conditions and ranges settle which part of its file is sent."""

from __future__ import annotations

import io
import os
import time
from typing import Any

from django.http import FileResponse, HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import http_date, parse_http_date_safe
from django.utils.log import log_response

from django_loom.exceptions import FileUnreadable

from .file_parts import FilePart, send_file
from .opened_files import disk_status, gives_bytes_anywhere, may_outlive, name_of
from .ranges import content_range, if_range_holds, requested_range

__all__ = ["FilePart", "prepare_file", "send_file"]

_ABOUT_THE_CONTENT = (
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-Type",
)
# Of the file; a cache must not keep an error by them.
_ABOUT_THE_FILE = ("Cache-Control", "ETag", "Expires", "Last-Modified")


def prepare_file(request: HttpRequest, response: HttpResponseBase) -> FilePart | None:
    """Settle what a ``FileResponse`` answers, before its head is sent.

    The answer to a GET or HEAD with status 200 gets ``Accept-Ranges`` and, from a file on
    disk, ``ETag`` and ``Last-Modified``, where nobody has set them. Its conditions (RFC
    9110, section 13) and, for GET, its range (section 14) are then applied: the response's
    status and headers change in place to those of 206, 304, 412 or 416.

    :param response: as it came out of all middleware.
    :return: the part of the file to send, an empty one where the answer has no content;
        None for a response that is to be sent like any other: it is no ``FileResponse``,
        its content was replaced, or its file can't seek, or gives text.
    :raises FileUnreadable: the file is closed.
    """
    file = getattr(response, "file_to_stream", None)
    if file is None or not isinstance(response, FileResponse):
        return None
    if getattr(file, "closed", False):
        _refuse_closed(request, file)
        return None
    if not gives_bytes_anywhere(file):
        return None
    start = file.tell()
    length = _promised_length(response, file, start)
    status = disk_status(file)
    may_send_path = status is not None and start == 0 and may_outlive(response, request)
    whole = FilePart(file, start, length, may_send_path)
    if response.status_code != 200 or request.method not in ("GET", "HEAD"):
        return whole
    if status is not None:
        _add_validators(response, status, length)
    if _apply_conditions(request, response):
        return FilePart(file, start, 0, False)
    return _apply_range(request, response, whole)


def _refuse_closed(request: HttpRequest, file: Any) -> None:
    if request.method != "HEAD":  # which needs nothing of the file but the headers made already
        raise FileUnreadable(
            f"the file of a FileResponse has to be open, but {name_of(file)} is closed; the "
            "response closes it after sending: write FileResponse(open(...)) without a with block"
        )


def _promised_length(response: FileResponse, file: Any, start: int) -> int:
    """Return the ``Content-Length`` set by the response or a view, or measure and set it."""
    promised = response.get("Content-Length", "")
    if promised.isascii() and promised.isdecimal():
        return int(promised)
    end = file.seek(0, io.SEEK_END) or file.tell()
    file.seek(start)
    length: int = max(0, end - start)
    response.headers["Content-Length"] = length
    return length


def _add_validators(response: FileResponse, status: os.stat_result, length: int) -> None:
    # The time of a file may lie in the future, which RFC 9110, 8.8.2.1, does not let us say.
    response.headers.setdefault("Last-Modified", http_date(min(status.st_mtime, time.time())))
    response.headers.setdefault("ETag", f'"{status.st_mtime_ns:x}-{length:x}"')


def _apply_conditions(request: HttpRequest, response: FileResponse) -> bool:
    """Make the response a 304 or 412 if the request's conditions ask for that."""
    etag = response.get("ETag")
    last_modified = parse_http_date_safe(response.get("Last-Modified"))
    if not etag and not last_modified:
        return False
    answer = get_conditional_response(request, etag, last_modified, response)
    if answer is response:
        return False
    _empty(response, answer.status_code)
    return True


def _apply_range(request: HttpRequest, response: FileResponse, whole: FilePart) -> FilePart:
    """Make the response a 206 or 416 if the request asks for a range."""
    response.headers.setdefault("Accept-Ranges", "bytes")
    part = _wanted_range(request, response, whole.length)
    if part is None:
        return whole
    if part:
        response.status_code = 206
        response.headers["Content-Length"] = len(part)
    else:
        _empty(response, 416)
        log_response("Range Not Satisfiable: %s", request.path, response=response, request=request)
    response.headers["Content-Range"] = content_range(part, whole.length)
    return FilePart(whole.file, whole.start + part.start, len(part), False)


def _wanted_range(request: HttpRequest, response: FileResponse, size: int) -> range | None:
    wanted, condition = request.META.get("HTTP_RANGE"), request.META.get("HTTP_IF_RANGE")
    # Only GET has ranges (RFC 9110, 14.2), and a view may have said "none".
    if not wanted or request.method != "GET" or response["Accept-Ranges"] != "bytes":
        return None
    validators = response.get("ETag"), response.get("Last-Modified")
    if condition is not None and not if_range_holds(condition, *validators):
        return None
    return requested_range(wanted, size)


def _empty(response: FileResponse, status: int) -> None:
    """Make a response one without content, keeping what middleware and view said besides."""
    response.status_code = status
    gone = _ABOUT_THE_CONTENT if status == 304 else _ABOUT_THE_CONTENT + _ABOUT_THE_FILE
    for name in gone:
        response.headers.pop(name, None)
    if status != 304:
        response.headers["Content-Length"] = 0
