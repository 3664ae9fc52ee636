"""The typefaces of the certificate, and what they have letters for."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from reportlab.pdfbase.pdfmetrics import registerFont
from reportlab.pdfbase.ttfonts import TTFont

FOLDER = Path(__file__).parent / "fonts"
REGULAR = "NotoSerifDisplay-Regular"
ITALIC = "NotoSerifDisplay-Italic"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@cache
def typeface(name: str) -> TTFont:
    """Return a typeface, read from its file the first time, and known to reportlab since."""
    font = TTFont(name, FOLDER / f"{name}.ttf")
    registerFont(font)
    return font


def load() -> None:
    """Let reportlab know the typefaces."""
    typeface(REGULAR)
    typeface(ITALIC)


def missing(text: str, name: str = ITALIC) -> list[str]:
    """Return the characters of a text that a typeface has no glyph for, each once."""
    glyphs = typeface(name).face.charToGlyph
    return [sign for sign in dict.fromkeys(text) if ord(sign) not in glyphs]


def printable(text: str, name: str = REGULAR) -> str:
    """Return a text with a mark in place of each character that the typeface lacks."""
    gone = dict.fromkeys(map(ord, missing(text, name)), REPLACEMENT)
    return text.translate(gone)


def fitting_size(text: str, name: str, largest: float, width: float) -> float:
    """Return the size, in points, at which a text is as wide as that at most.

    :param largest: the size for a text that is short enough.
    :param width: in points.
    """
    needed = typeface(name).stringWidth(text, 1)
    return largest if needed * largest <= width else width / needed
