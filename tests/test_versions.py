"""An unsupported version is an error at start that names the versions."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_loom import apps, versions
from django_loom.exceptions import UnsupportedVersion

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]


def test_the_installed_versions_are_supported() -> None:
    versions.require_supported()


@pytest.mark.parametrize("django", [(5, 2), (6, 0), (6, 1)])
@pytest.mark.parametrize("python", [(3, 11), (3, 14), (3, 20)])
def test_supported_versions(python: tuple[int, int], django: tuple[int, int]) -> None:
    versions.require_supported(python, django)


@pytest.mark.parametrize("django", [(4, 2), (5, 1), (6, 2), (7, 0)])
def test_another_django_is_refused(django: tuple[int, int]) -> None:
    with pytest.raises(UnsupportedVersion) as raised:
        versions.require_supported((3, 13), django)
    found = ".".join(map(str, django))
    assert f"Django {found} is installed" in str(raised.value)
    assert "supports Django 5.2 to 6.1" in str(raised.value)


@pytest.mark.parametrize("python", [(3, 10), (2, 7)])
def test_an_older_python_is_refused(python: tuple[int, int]) -> None:
    with pytest.raises(UnsupportedVersion, match=r"needs Python 3\.11 or later"):
        versions.require_supported(python, (6, 1))


def test_the_error_is_one_of_configuration() -> None:
    assert issubclass(UnsupportedVersion, ImproperlyConfigured)


def test_the_distribution_asks_for_the_same_versions() -> None:
    oldest = ".".join(map(str, versions.OLDEST_DJANGO))
    major, minor = versions.NEWEST_DJANGO
    assert f"Django>={oldest},<{major}.{minor + 1}" in PROJECT["dependencies"]
    assert PROJECT["requires-python"] == ">=" + ".".join(map(str, versions.OLDEST_PYTHON))


def test_the_app_checks_the_versions_when_django_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise UnsupportedVersion("refused")

    monkeypatch.setattr(versions, "require_supported", refuse)
    with pytest.raises(UnsupportedVersion, match="refused"):
        apps.LoomConfig("django_loom", sys.modules["django_loom"]).ready()
