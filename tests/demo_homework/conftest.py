"""The demo on a real server, once for all tests with its own settings and once with strict ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.polling import eventually

from .site import Site, prepare, running
from .student import Student


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder with the database in it, and the sessions of the students."""
    folder = tmp_path_factory.mktemp("academy")
    return folder, prepare(folder)


@pytest.fixture(scope="session")
def site(prepared: tuple[Path, dict[str, str]]) -> Iterator[Site]:
    with running(*prepared) as site:
        yield site


@pytest.fixture(scope="session")
def strict_site(prepared: tuple[Path, dict[str, str]]) -> Iterator[Site]:
    """A site that takes 1 MiB, for which it waits three seconds."""
    settings = "tests.demo_homework.strict_settings"
    with running(*prepared, DJANGO_SETTINGS_MODULE=settings) as site:
        yield site


@pytest.fixture
def ann(site: Site) -> Iterator[Student]:
    """A student, whose files are deleted after the test."""
    student = Student(site, "ann")
    yield student
    clear(student)


@pytest.fixture
def hurried_ann(strict_site: Site) -> Iterator[Student]:
    """The same student on the strict site."""
    student = Student(strict_site, "ann")
    yield student
    clear(student)


def clear(student: Student) -> None:
    """Delete what a student has handed in, and see to it that the storage is empty then."""
    for path in student.site.stored():
        assert student.delete(path.name).status == 302
    eventually(lambda: not student.site.stored() and not student.site.parts())
