"""A server that ends in the middle of an upload: stopped in order, or killed."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.polling import eventually

from .site import Site, running
from .student import Student, start_of_form

STALE_SECONDS = 3601


@pytest.fixture
def folder(prepared: tuple[Path, dict[str, str]], tmp_path: Path) -> Path:
    """A copy of the data, so that it is this server's alone."""
    copy = tmp_path / "academy"
    shutil.copytree(prepared[0], copy, ignore=shutil.ignore_patterns("log*", "uploads"))
    return copy


@contextmanager
def uploading(folder: Path, sessions: dict[str, str]) -> Iterator[Site]:
    """A server, and a client that has sent a part of its file."""
    with (
        running(folder, sessions) as site,
        Student(site, "ann").handing_in(Content_Length="10000000") as connection,
    ):
        connection.sendall(start_of_form("essay.pdf") + b"%PDF-1.7\n".ljust(2**18))
        eventually(site.parts)
        yield site


def test_server_that_stops_leaves_no_part(
    folder: Path, prepared: tuple[Path, dict[str, str]]
) -> None:
    with uploading(folder, prepared[1]) as site:
        site.cuts_requests_short = True
        site.stop()
    assert site.parts() == []


def test_part_of_a_killed_server_is_swept_once_it_is_stale(
    folder: Path, prepared: tuple[Path, dict[str, str]]
) -> None:
    with uploading(folder, prepared[1]) as site:
        site.kill()
    (part,) = site.parts()
    with running(folder, prepared[1]) as site:
        assert site.parts() == [part]  # it might be alive, in another process
    long_ago = time.time() - STALE_SECONDS
    os.utime(part, (long_ago, long_ago))
    with running(folder, prepared[1]) as site:
        assert site.parts() == []
