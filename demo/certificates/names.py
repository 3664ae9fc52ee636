"""A student's name, as it may stand on a certificate."""

from __future__ import annotations

import unicodedata

from django.core.exceptions import ValidationError

from .fonts import REPLACEMENT, missing

LONGEST = 80
MARKS_IN_A_ROW = 2


def clean_name(text: str) -> str:
    """Return a name with composed letters and single spaces.

    Composed, since reportlab does not place accents over letters itself: "e" with two
    accents is one glyph of the typeface.

    :raises ValidationError: it is empty, too long, or has something in it that the
        certificate's typeface can't show.
    """
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name:
        raise ValidationError("Write the name that the certificate is made out to.")
    if len(name) > LONGEST:
        raise ValidationError(f"Write {LONGEST} characters at most; these are {len(name)}.")
    _refuse_without_glyph(name)
    _refuse_invisible(name)
    if not any(sign.isalpha() for sign in name):
        raise ValidationError("A name has letters in it.")
    return name


def _refuse_invisible(name: str) -> None:
    """Refuse control characters, marks of direction, and what is no character at all."""
    hidden = [sign for sign in dict.fromkeys(name) if _is_invisible(sign)]
    if hidden:
        codes = ", ".join(f"U+{ord(sign):04X}" for sign in hidden[:5])
        raise ValidationError(f"There are invisible characters in the name: {codes}. Remove them.")


def _refuse_without_glyph(name: str) -> None:
    unknown = [sign for sign in missing(name) if not _is_invisible(sign)]
    if REPLACEMENT in name:
        unknown.append(REPLACEMENT)
    if unknown:
        signs = " ".join(unknown[:5])
        raise ValidationError(
            f"The certificate's typeface can't show: {signs}. It has the letters of Latin with "
            "Vietnamese, of Greek and of Cyrillic. Write the name in one of these."
        )
    marks = "".join("m" if unicodedata.combining(sign) else " " for sign in name)
    if "m" * (MARKS_IN_A_ROW + 1) in marks:
        raise ValidationError("There are too many accents on one letter.")


def _is_invisible(sign: str) -> bool:
    return unicodedata.category(sign)[0] == "C"
