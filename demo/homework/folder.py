"""Where the files lie. Their names are the server's own; nothing of a client's gets into a path."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import UUID

from django.conf import settings

PART = ".part"
STALE_SECONDS = 3600.0


def folder() -> Path:
    """Return the storage's folder."""
    return Path(settings.MEDIA_ROOT) / "homework"


def path_of(identity: UUID) -> Path:
    """Return where a file lies that is whole."""
    return folder() / str(identity)


def part_of(identity: UUID) -> Path:
    """Return where a file lies that is still arriving: the same folder, so it need not move."""
    return folder() / f"{identity}{PART}"


def sweep() -> int:
    """Remove what arrived in a process that was killed meanwhile; return how many files.

    Those are the parts that nothing was written to for an hour. An upload that is alive
    writes, or ``LOOM["BODY_TIMEOUT"]`` ends it.
    """
    limit = time.time() - STALE_SECONDS
    swept = 0
    for part in folder().glob(f"*{PART}"):
        try:
            if part.stat().st_mtime < limit:
                part.unlink()
                swept += 1
        except FileNotFoundError:
            pass  # another process of the server sweeps, too
    return swept
