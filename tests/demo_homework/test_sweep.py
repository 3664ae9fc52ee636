"""What a process that was killed has left is swept up when the server starts."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from tests.polling import eventually

from .site import running
from .student import Student, start_of_form

STALE_SECONDS = 3601


def test_part_of_a_killed_server_is_swept_once_it_is_stale(
    prepared: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    folder = tmp_path / "academy"
    shutil.copytree(prepared[0], folder, ignore=shutil.ignore_patterns("log*", "uploads"))
    with (
        running(folder, prepared[1]) as site,
        Student(site, "ann").handing_in(Content_Length="10000000") as connection,
    ):
        connection.sendall(start_of_form("essay.pdf") + b"%PDF-1.7\n".ljust(2**18))
        eventually(site.parts)
        site.kill()
    (part,) = site.parts()
    with running(folder, prepared[1]) as site:
        assert site.parts() == [part]  # it might be alive, in another process
    long_ago = time.time() - STALE_SECONDS
    os.utime(part, (long_ago, long_ago))
    with running(folder, prepared[1]) as site:
        assert site.parts() == []
