"""The client's name for a file: text to be shown and given back, never part of a path."""

from __future__ import annotations

from pathlib import PurePosixPath

LONGEST = 120
LONGEST_SUFFIX = 16


def client_name(name: str) -> str:
    """Return a client's file name as it is kept: shortened in the middle, with its suffix.

    Django's parser has taken folders and unprintable characters out of it.
    """
    name = " ".join(name.split())
    if len(name) <= LONGEST:
        return name
    suffix = PurePosixPath(name).suffix[:LONGEST_SUFFIX]
    return f"{name[: LONGEST - len(suffix) - 1]}…{suffix}"
