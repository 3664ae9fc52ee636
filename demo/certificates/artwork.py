"""Draws the certificate's template: ``python -m demo.certificates.artwork``.

The template is committed, as ``template.pdf``: stamping then is what it is in any office that
gets its forms from a designer, and a start of the site draws nothing. This script takes the
designer's place; a test compares the committed file with what it draws. The pages show its
picture, ``static/certificates/template.png``: ``pdftoppm -r 110 -png -singlefile template.pdf``.
"""

from __future__ import annotations

from pathlib import Path

from reportlab.pdfgen.canvas import Canvas

from . import fonts, weaving
from .layout import (
    CENTRE,
    FADED,
    FOOT_BASELINE,
    FOOT_LEFT,
    FOOT_RIGHT,
    FOOT_WIDTH,
    HEIGHT,
    INK,
    NAME_BASELINE,
    NAME_WIDTH,
    PAGE,
    PAPER,
    WARP,
    WEFT,
    WIDTH,
)

TEMPLATE = Path(__file__).with_name("template.pdf")


def draw(target: Path) -> None:
    """Write the template as a PDF; the same bytes each time."""
    fonts.load()
    # The first font is named, or the file would ask for a Helvetica that it does not use.
    canvas = Canvas(str(target), pagesize=PAGE, invariant=True, initialFontName=fonts.REGULAR)
    canvas.setTitle("Certificate, to be stamped")
    canvas.setFillColor(PAPER)
    canvas.rect(0, 0, WIDTH, HEIGHT, stroke=0, fill=1)
    weaving.frame(canvas)
    _rules(canvas)
    _words(canvas)
    _foot(canvas)
    canvas.save()


def _rules(canvas: Canvas) -> None:
    canvas.setStrokeColor(WEFT)
    canvas.setLineWidth(0.7)
    canvas.rect(52, 52, WIDTH - 104, HEIGHT - 104)
    canvas.setLineWidth(0.6)
    left, below = CENTRE - NAME_WIDTH / 2, NAME_BASELINE - 24
    canvas.line(left, below, left + NAME_WIDTH, below)


def _words(canvas: Canvas) -> None:
    weaving.emblem(canvas, CENTRE, HEIGHT - 102, 36)
    canvas.setFillColor(WARP)
    _spaced(canvas, "LOOM ACADEMY", HEIGHT - 142, 12, 4.5)
    canvas.setFillColor(INK)
    canvas.setFont(fonts.REGULAR, 38)
    canvas.drawCentredString(CENTRE, HEIGHT - 194, "Certificate of Participation")
    canvas.setFillColor(FADED)
    canvas.setFont(fonts.ITALIC, 15)
    canvas.drawCentredString(CENTRE, HEIGHT - 230, "This is to certify that")
    canvas.drawCentredString(CENTRE, NAME_BASELINE - 52, "has taken part in the course")


def _foot(canvas: Canvas) -> None:
    weaving.seal(canvas, CENTRE, FOOT_BASELINE + 20, 41)
    canvas.setStrokeColor(WEFT)
    canvas.setFillColor(FADED)
    canvas.setFont(fonts.ITALIC, 10)
    for middle, label in ((FOOT_LEFT, "Issued"), (FOOT_RIGHT, "Number")):
        edge = middle - FOOT_WIDTH / 2
        canvas.line(edge, FOOT_BASELINE - 9, edge + FOOT_WIDTH, FOOT_BASELINE - 9)
        canvas.drawCentredString(middle, FOOT_BASELINE - 23, label)


def _spaced(canvas: Canvas, text: str, y: float, size: float, space: float) -> None:
    """Draw a line in the middle, with more space between the letters."""
    width = fonts.typeface(fonts.REGULAR).stringWidth(text, size) + space * (len(text) - 1)
    canvas.setFont(fonts.REGULAR, size)
    canvas.drawString(CENTRE - width / 2, y, text, charSpace=space)


if __name__ == "__main__":
    draw(TEMPLATE)
