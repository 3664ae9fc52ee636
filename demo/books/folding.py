"""Text as the search compares it: without case and accents."""

from __future__ import annotations

import unicodedata


def fold(text: str) -> str:
    """Return the text in lower case and without accents: "Brontë" becomes "bronte".

    Databases differ in what they hold to be equal (SQLite knows the cases of ASCII alone),
    so this is stored beside the text, and the search compares what is equal everywhere.
    """
    bare = (sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    return "".join(bare).casefold().replace("đ", "d")
