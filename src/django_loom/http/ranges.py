"""Which bytes of a file a request asks for: RFC 9110, sections 13.1.5 and 14."""

from __future__ import annotations

import re

from django.utils.http import parse_http_date_safe

# One range; the list may have empty elements (RFC 9110, 5.6.1.2). No two parts of the
# pattern can match the same character, so its time is linear in the header's length.
_ONE_RANGE = re.compile(r"bytes=[ \t,]*([0-9]*)-([0-9]*)[ \t,]*", re.ASCII | re.IGNORECASE)

# Enough for any size there is, and too little for int() to take long.
_LONGEST_HEADER = 200


def requested_range(header: str, size: int) -> range | None:
    """Read a ``Range`` header.

    Several ranges in one header are not served one by one: RFC 9110, 14.2, lets a server
    ignore the header, and then what they cost does not depend on how many there are.

    :param header: the header's value.
    :param size: of the whole representation, in bytes.
    :return: the positions of the bytes to send, first to last; an empty range if the
        representation has none of them (to be answered 416); None if the header is to be
        ignored: it is malformed, of another unit, has several ranges, or asks for the end
        of a representation that is empty.
    """
    header = header.strip(" \t")
    match = _ONE_RANGE.fullmatch(header) if len(header) <= _LONGEST_HEADER else None
    if match is None:
        return None
    first, last = match.groups()
    if first:
        return _from_position(int(first), int(last) if last else None, size)
    return _from_end(int(last), size) if last else None


def _from_position(first: int, last: int | None, size: int) -> range | None:
    if last is not None and last < first:
        return None
    end = size if last is None else min(last + 1, size)
    return range(first, end) if first < size else range(0)


def _from_end(length: int, size: int) -> range | None:
    if length and not size:
        return None  # satisfiable by 14.1.1, though no Content-Range could say so
    return range(max(0, size - length), size)


def content_range(part: range, size: int) -> str:
    """Return the value of ``Content-Range`` for a part, which may be empty (RFC 9110, 14.4).

    :param part: the positions of the bytes, as ``requested_range()`` returns them.
    :param size: of the whole representation, in bytes.
    """
    return f"bytes {part[0]}-{part[-1]}/{size}" if part else f"bytes */{size}"


def if_range_holds(header: str, etag: str | None, last_modified: str | None) -> bool:
    """Tell if an ``If-Range`` header lets the ``Range`` header count (RFC 9110, 13.1.5).

    An entity tag has to be the same, and strong; a date has to be the same second as that
    of the response, not merely a later one.

    :param header: the value of ``If-Range``, an entity tag or a date in any HTTP format.
    :param etag: the response's ``ETag``, with its quotes.
    :param last_modified: the response's ``Last-Modified``.
    """
    header = header.strip(" \t")
    if header.startswith(('"', "W/")):
        return header == etag and not header.startswith("W/")
    wanted = parse_http_date_safe(header)
    return wanted is not None and wanted == parse_http_date_safe(last_modified)
