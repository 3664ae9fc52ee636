"""Django's tests, from the source distribution of the installed version."""

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

# Directories of Django's tests that hold no runnable package: see SUBDIRS_TO_SKIP in runtests.py.
NOT_PACKAGES = {"gis_tests", "import_error_package", "test_runner_apps"}


class SourceError(Exception):
    """The suite could not be had."""


def tests_directory(version: str, cache: Path) -> Path:
    """The unpacked ``tests`` of Django ``version``, downloaded when the cache lacks it."""
    tests = cache / f"django-{version}" / "tests"
    if not (tests / "runtests.py").exists():
        archive = cache / f"django-{version}.tar.gz"
        if not archive.exists():
            _download(version, cache)
        _unpack(archive, cache)
    return tests


def packages(tests: Path) -> list[str]:
    """The names of all test packages, as runtests.py finds them without GIS."""
    return sorted(
        path.parent.name
        for path in tests.glob("*/__init__.py")
        if path.parent.name not in NOT_PACKAGES
    )


def _download(version: str, cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    (cache / ".gitignore").write_text("*\n", encoding="utf-8")
    options = f"--quiet --no-deps --no-binary django django=={version}".split()
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(cache)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SourceError(
            f"pip could not download the sdist of Django {version}:\n{done.stderr.strip()}"
        )


def _unpack(archive: Path, cache: Path) -> None:
    with tarfile.open(archive) as tar:
        tar.extractall(cache, members=_wanted(tar), filter="data")


def _wanted(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """All but the ``django`` package itself: the installed one is under test."""
    for member in tar:
        if member.name.split("/")[1:2] != ["django"]:
            yield member
