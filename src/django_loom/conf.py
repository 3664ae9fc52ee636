"""What a project's settings say: the app, and ``LOOM``, of which each room has a section."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeVar, dataclass_transform

from django.apps import apps
from django.conf import settings
from django.core.signals import setting_changed

from .exceptions import AppNotInstalled, LoomSettingError

T = TypeVar("T")

_sections: list[type[Any]] = []
_read: dict[type[Any], Any] = {}


@dataclass_transform(frozen_default=True)
def section(declared: type[T]) -> type[T]:
    """Declare the keys of ``LOOM`` that one room reads; a key is spelled as the attribute.

    ``__post_init__()`` calls ``require()`` for each value.
    """
    made = dataclass(frozen=True, slots=True)(declared)
    _sections.append(made)
    return made


def sections() -> list[type[Any]]:
    """Return the sections of all rooms."""
    return list(_sections)


def read(section: type[T]) -> T:
    """Return a room's section of ``settings.LOOM``, with defaults for what that leaves out.

    :raises LoomSettingError: a value is not valid.
    """
    found: T | None = _read.get(section)
    if found is None:
        given, known = _given(), _keys(section)
        found = section(**{key: value for key, value in given.items() if key in known})
        _read[section] = found
    return found


def require_valid() -> None:
    """Read the sections of all rooms.

    :raises LoomSettingError: a key is in none of them, or a value not valid.
    """
    given, known = _given(), sorted(key for each in _sections for key in _keys(each))
    for key in given:
        if key not in known:
            raise LoomSettingError(f"LOOM has the unknown key {key!r}. Known: {', '.join(known)}.")
    for each in _sections:
        read(each)


def _keys(section: type[Any]) -> list[str]:
    return [each.name for each in fields(section)]


def _given() -> dict[str, Any]:
    given: Any = getattr(settings, "LOOM", {})
    if not isinstance(given, dict):
        raise LoomSettingError(f"LOOM must be a dictionary; it is {given!r}.")
    return given


def require(values: object, name: str, is_valid: Callable[[Any], bool], expected: str) -> None:
    """Refuse a section's value.

    :param values: the section.
    :param is_valid: tells if the value is.
    :param expected: what a valid one is, for the message.
    :raises LoomSettingError: it is not.
    """
    value = getattr(values, name)
    if not is_valid(value):
        raise LoomSettingError(f"LOOM[{name!r}] must be {expected}; it is {value!r}.")


def is_whole(value: object, minimum: int) -> bool:
    """Tell if a value is a whole number, of at least the minimum."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= minimum


def require_app(what: str) -> None:
    """Refuse to go on where the app is missing: Django would not be on the loop.

    While Django is still loading the apps, nothing is refused.

    :param what: what of django-loom is used, as the subject of a sentence.
    :raises AppNotInstalled: saying what to add.
    """
    if apps.ready and not apps.is_installed("django_loom"):
        raise AppNotInstalled(
            f"{what} needs the app 'django_loom', which is not in INSTALLED_APPS. "
            'Write INSTALLED_APPS = ["django_loom", ...].'
        )


def _read_again(*, setting: str, **kwargs: Any) -> None:
    if setting == "LOOM":
        _read.clear()


setting_changed.connect(_read_again)
