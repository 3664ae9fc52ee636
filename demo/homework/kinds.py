"""Which kinds of file are taken. The content decides: no name, no Content-Type is believed."""

from __future__ import annotations

import codecs
import re

from django.db.models import TextChoices

from .refusals import Refused

# Enough for each of the signatures.
HEAD_BYTES = 16


class Kind(TextChoices):
    """A kind of file that is taken, with what the list calls it."""

    PDF = "pdf", "PDF"
    PNG = "png", "PNG image"
    JPEG = "jpeg", "JPEG image"
    GIF = "gif", "GIF image"
    WEBP = "webp", "WebP image"
    DOCX = "docx", "Word document"
    XLSX = "xlsx", "Excel workbook"
    PPTX = "pptx", "PowerPoint presentation"
    ZIP = "zip", "ZIP archive"
    TEXT = "text", "Text"

    @property
    def media_type(self) -> str:
        """What the Content-Type of a download says."""
        return _MEDIA_TYPES[self]


_OFFICE = "application/vnd.openxmlformats-officedocument."
_MEDIA_TYPES = {
    Kind.PDF: "application/pdf",
    Kind.PNG: "image/png",
    Kind.JPEG: "image/jpeg",
    Kind.GIF: "image/gif",
    Kind.WEBP: "image/webp",
    Kind.DOCX: f"{_OFFICE}wordprocessingml.document",
    Kind.XLSX: f"{_OFFICE}spreadsheetml.sheet",
    Kind.PPTX: f"{_OFFICE}presentationml.presentation",
    Kind.ZIP: "application/zip",
    Kind.TEXT: "text/plain; charset=utf-8",
}

_SIGNATURES = {
    Kind.PDF: re.compile(rb"%PDF-[12]\.[0-9]"),
    Kind.PNG: re.compile(rb"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"),
    Kind.JPEG: re.compile(rb"\xff\xd8\xff"),
    Kind.GIF: re.compile(rb"GIF8[79]a"),
    Kind.WEBP: re.compile(rb"RIFF.{4}WEBPVP8[ LX]", re.DOTALL),
    Kind.ZIP: re.compile(rb"PK\x03\x04"),
}

# What no text file has, whatever its language: of the controls only tab, line and page ends.
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")

NOT_TAKEN = (
    "This kind of file is not taken. Hand in a PDF, an image (PNG, JPEG, GIF, WebP), a Word, "
    "Excel or PowerPoint file, a ZIP archive, or text in UTF-8, such as a Python program."
)


class ContentCheck:
    """Finds out the kind of a file from its bytes, as they come, and lets nothing else pass.

    The first sixteen bytes decide. Text has no signature, so all of it is looked at.
    """

    def __init__(self) -> None:
        self.kind: Kind | None = None
        self._head = b""
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def admit(self, chunk: bytes) -> bytes:
        """Return the bytes that may be stored: all so far, or none until the kind is known.

        :raises Refused: the file is of no kind that is taken.
        """
        if self.kind is None:
            self._head += chunk
            if len(self._head) < HEAD_BYTES:
                return b""
            chunk = self._decide()
        if self.kind is Kind.TEXT:
            self._check_text(chunk)
        return chunk

    def finish(self) -> bytes:
        """Return what was held back, as the file was shorter than that.

        :raises Refused: the file is of no kind that is taken.
        """
        rest = self._decide() if self.kind is None else b""
        if self.kind is Kind.TEXT:
            self._check_text(rest, final=True)
        return rest

    def _decide(self) -> bytes:
        head, self._head = self._head, b""
        found = (kind for kind, signature in _SIGNATURES.items() if signature.match(head))
        self.kind = next(found, Kind.TEXT)
        return head

    def _check_text(self, chunk: bytes, final: bool = False) -> None:
        try:
            self._decoder.decode(chunk, final)
        except UnicodeDecodeError:
            raise Refused(415, NOT_TAKEN) from None
        if _NOT_TEXT.search(chunk):
            raise Refused(415, NOT_TAKEN)
