"""The versions of Python and Django that this release is tested with."""

from __future__ import annotations

import sys

import django

from .exceptions import UnsupportedVersion

OLDEST_PYTHON = (3, 11)
OLDEST_DJANGO = (5, 2)
NEWEST_DJANGO = (6, 1)


def require_supported(
    python: tuple[int, ...] = sys.version_info[:2],
    django_version: tuple[int, ...] = django.VERSION[:2],
) -> None:
    """Stop at start rather than fail in odd ways later.

    :raises UnsupportedVersion: naming the version found and those supported.
    """
    if python < OLDEST_PYTHON:
        raise UnsupportedVersion(
            f"django-loom needs Python {_text(OLDEST_PYTHON)} or later; this is "
            f"Python {_text(python)}."
        )
    if not OLDEST_DJANGO <= django_version <= NEWEST_DJANGO:
        raise UnsupportedVersion(
            f"django-loom supports Django {_text(OLDEST_DJANGO)} to "
            f"{_text(NEWEST_DJANGO)}; Django {_text(django_version)} is installed. "
            "Install one of those, or a release of django-loom made for yours."
        )


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
