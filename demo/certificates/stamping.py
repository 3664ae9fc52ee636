"""Makes a certificate: what is the student's own is drawn, and laid over the template."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from textwrap import wrap
from threading import Lock

from pypdf import PdfReader, PdfWriter
from reportlab.pdfgen.canvas import Canvas

from . import fonts
from .artwork import TEMPLATE
from .layout import (
    CENTRE,
    COURSE_BASELINE,
    COURSE_SIZE,
    COURSE_WIDTH,
    FOOT_BASELINE,
    FOOT_LEFT,
    FOOT_RIGHT,
    FOOT_SIZE,
    FOOT_WIDTH,
    INK,
    NAME_BASELINE,
    NAME_SIZE,
    NAME_WIDTH,
    PAGE,
    WARP,
)

# A typeface of reportlab is not made for two documents at once. The work is CPU and
# never waits, so threads that take turns lose nothing.
_one_at_a_time = Lock()


@dataclass(frozen=True, slots=True)
class Details:
    """What a certificate says."""

    name: str
    course: str
    issued: datetime
    number: str


def make_pdf(details: Details) -> bytes:
    """Return the certificate as a PDF. This takes CPU, so it belongs in a thread."""
    with _one_at_a_time:
        stamp = _stamp(details)
    writer = PdfWriter(clone_from=TEMPLATE)
    writer.pages[0].merge_page(PdfReader(BytesIO(stamp)).pages[0])
    writer.pages[0].compress_content_streams()  # merging has unpacked them
    writer.add_metadata(
        {
            "/Title": f"Certificate of {details.name}",
            "/Subject": details.course,
            "/Author": "Loom Academy",
            "/Creator": "Loom Academy",
            # Without these it would have the template's, which are the same each time.
            "/CreationDate": _pdf_date(details.issued),
            "/ModDate": _pdf_date(details.issued),
        }
    )
    written = BytesIO()
    writer.write(written)
    return written.getvalue()


def _stamp(details: Details) -> bytes:
    """Return a transparent page with the name, the course, the time and the number."""
    fonts.load()
    drawn = BytesIO()
    canvas = Canvas(drawn, pagesize=PAGE, initialFontName=fonts.REGULAR)
    canvas.setFillColor(WARP)
    _centred(canvas, details.name, fonts.ITALIC, CENTRE, NAME_BASELINE, NAME_SIZE, NAME_WIDTH)
    canvas.setFillColor(INK)
    course = fonts.printable(details.course)
    _centred(canvas, course, fonts.REGULAR, CENTRE, COURSE_BASELINE, COURSE_SIZE, COURSE_WIDTH)
    for text, middle in ((_time(details.issued), FOOT_LEFT), (_number(details), FOOT_RIGHT)):
        _centred(canvas, text, fonts.REGULAR, middle, FOOT_BASELINE, FOOT_SIZE, FOOT_WIDTH)
    canvas.save()
    return drawn.getvalue()


def _centred(
    canvas: Canvas, text: str, font: str, x: float, y: float, size: float, width: float
) -> None:
    """Draw a line around x, smaller if it is too wide for its place."""
    fitting = fonts.fitting_size(text, font, size, width)
    canvas.setFont(font, fitting)
    # Small letters stand in the middle of their place, not at its bottom.
    canvas.drawCentredString(x, y + (size - fitting) / 4, text)


def _time(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y, %H:%M %Z}"


def _pdf_date(moment: datetime) -> str:
    return f"D:{moment.astimezone(UTC):%Y%m%d%H%M%S}Z"


def _number(details: Details) -> str:
    return " ".join(wrap(details.number, 4))
