"""What a ZIP archive is, by the names of its entries; nothing is unpacked."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import SEEK_END
from typing import BinaryIO

from .kinds import Kind
from .refusals import broken_archive

# PKWARE's APPNOTE.TXT, 4.3.16: the end record, before a comment of up to 65,535 bytes.
_END = struct.Struct("<4s4H2LH")
_END_SIGNATURE = b"PK\x05\x06"
_MOST_COMMENT = 2**16 - 1

# APPNOTE.TXT, 4.3.12: the head of an entry in the directory, then its name, extras, comment.
_ENTRY = struct.Struct("<4s6H3L5H2L")
_ENTRY_SIGNATURE = b"PK\x01\x02"

# An archive may list millions of entries. An office document's list is small.
MOST_LISTED_BYTES = 2**20

_OFFICE = {b"word/": Kind.DOCX, b"xl/": Kind.XLSX, b"ppt/": Kind.PPTX}


def archive_kind(file: BinaryIO) -> Kind:
    """Return what kind of archive an open file is.

    :raises Refused: it has no end, so that it is damaged.
    """
    size = file.seek(0, SEEK_END)
    file.seek(max(0, size - _END.size - _MOST_COMMENT))
    tail = file.read()
    at = tail.rfind(_END_SIGNATURE)
    if at < 0 or len(tail) - at < _END.size:
        raise broken_archive()
    _, _, _, _, _, length, start, _ = _END.unpack_from(tail, at)
    if length > MOST_LISTED_BYTES:
        return Kind.ZIP
    file.seek(min(start, size))
    return _kind_of(set(_names(file.read(length))))


def _kind_of(names: set[bytes]) -> Kind:
    if b"[Content_Types].xml" in names:
        for folder, kind in _OFFICE.items():
            if any(name.startswith(folder) for name in names):
                return kind
    return Kind.ZIP


def _names(directory: bytes) -> Iterator[bytes]:
    at = 0
    while directory.startswith(_ENTRY_SIGNATURE, at) and len(directory) - at >= _ENTRY.size:
        fields = _ENTRY.unpack_from(directory, at)
        name_length, extra_length, comment_length = fields[10:13]
        at += _ENTRY.size
        yield directory[at : at + name_length]
        at += name_length + extra_length + comment_length
