"""The LOOM setting: its defaults, each key, and what an error says; the app that is needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.test import modify_settings, override_settings

from django_loom.conf import read, require_app, require_valid, sections
from django_loom.exceptions import AppNotInstalled, LoomError, LoomSettingError

DEFAULTS = {
    "SYNC_VIEWS": "thread",
    "THREADS": 10,
    "THREAD_QUEUE": 1000,
    "STREAM_THREADS": 100,
    "EXECUTORS": {},
    "MAX_BODY": 1024**3,
    "BODY_TIMEOUT": 30.0,
    "BODY_RATE": 500,
    "GC_THRESHOLD": (20_000, 20, 50),
    "THREAD_LOCALS": (),
}
# For each key: values that are right, and that are wrong.
RIGHT: dict[str, list[Any]] = {
    "SYNC_VIEWS": ["thread", "loop"],
    "THREADS": [1, 500],
    "THREAD_QUEUE": [0, 1],
    "STREAM_THREADS": [1, 500],
    "EXECUTORS": [{}, {"mail": 1}, {"files": 64, "passwords": 3, "cancellations": 1}],
    "MAX_BODY": [0, 2**40, None],
    "BODY_TIMEOUT": [0.5, 1, float("inf")],
    "BODY_RATE": [1, 10**9],
    "GC_THRESHOLD": [(700, 10, 10), [1, 1, 1], None],
    "THREAD_LOCALS": [("vendor",), ["vendor.sdk", "other"], ()],
}
WRONG: dict[str, list[Any]] = {
    "SYNC_VIEWS": ["threads", "", None, True, ["loop"]],
    "THREADS": [0, -1, 1.0, "10", None, True],
    "THREAD_QUEUE": [-1, 0.5, "0", None, False],
    "STREAM_THREADS": [0, -1, 1.0, "10", None, True],
    "EXECUTORS": [None, 4, ["files"], {"views": 10}, {"mail": 0}, {"mail": True}, {1: 1}],
    "MAX_BODY": [-1, 1.5, "1024", True],
    "BODY_TIMEOUT": [0, -1.0, "30", None, True, float("nan")],
    "BODY_RATE": [0, -1, 500.0, "500", None, True],
    "GC_THRESHOLD": [(0, 10, 10), (700, 10), 700, (700, 10, True), "700"],
    "THREAD_LOCALS": ["vendor", None, {"vendor"}, ("",), ("vendor.",), (b"vendor",), ("a-b",)],
}
EXPECTED = {
    "SYNC_VIEWS": "'thread' or 'loop'",
    "THREADS": "a whole number of at least 1",
    "THREAD_QUEUE": "a whole number, 0 or more",
    "STREAM_THREADS": "a whole number of at least 1",
    "EXECUTORS": "a dictionary of whole numbers of at least 1 for some of files, passwords, mail, "
    "cancellations",
    "MAX_BODY": "a whole number of bytes, or None for no limit",
    "BODY_TIMEOUT": "seconds above 0",
    "BODY_RATE": "a whole number of at least 1",
    "GC_THRESHOLD": "three whole numbers of at least 1, as gc.set_threshold() takes, or None",
    "THREAD_LOCALS": "a tuple or list of the names of packages or modules",
}


def pairs(values: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(key, value, id=f"{key}={value!r}") for key in values for value in values[key]
    ]


def keys_of(section: type[Any]) -> list[str]:
    return [each.name for each in fields(section)]


def values() -> dict[str, Any]:
    """The settings of all sections, in the order of `DEFAULTS`."""
    found = {key: getattr(read(each), key) for each in sections() for key in keys_of(each)}
    return {key: found[key] for key in (*DEFAULTS, *found)}


def section_of(key: str) -> type[Any]:
    (found,) = (each for each in sections() if key in keys_of(each))
    return found


@pytest.fixture
def without_loom() -> Iterator[None]:
    with override_settings(LOOM={}):
        del settings.LOOM
        setting_changed.send(sender=None, setting="LOOM", value=None, enter=True)
        yield


@pytest.mark.usefixtures("without_loom")
def test_the_defaults_apply_without_the_setting() -> None:
    assert not hasattr(settings, "LOOM")
    assert values() == DEFAULTS


def test_the_defaults_apply_to_what_is_left_out() -> None:
    with override_settings(LOOM={}):
        assert values() == DEFAULTS
    with override_settings(LOOM={"THREADS": 3}):
        assert values() == DEFAULTS | {"THREADS": 3}


@pytest.mark.parametrize(("key", "value"), pairs(RIGHT))
def test_each_key_is_read(key: str, value: object) -> None:
    with override_settings(LOOM={key: value}):
        require_valid()
        assert getattr(read(section_of(key)), key) == value


@pytest.mark.parametrize(("key", "value"), pairs(WRONG))
def test_a_wrong_value_is_refused(key: str, value: object) -> None:
    with override_settings(LOOM={key: value}), pytest.raises(LoomSettingError) as raised:
        read(section_of(key))
    assert str(raised.value) == f"LOOM[{key!r}] must be {EXPECTED[key]}; it is {value!r}."


def test_an_unknown_key_is_refused_and_the_known_ones_are_listed() -> None:
    with override_settings(LOOM={"threads": 3}), pytest.raises(LoomSettingError) as raised:
        require_valid()
    known = ", ".join(sorted(DEFAULTS))
    assert str(raised.value) == f"LOOM has the unknown key 'threads'. Known: {known}."


@pytest.mark.parametrize("read_them", [require_valid, lambda: read(section_of("THREADS"))])
@pytest.mark.parametrize("value", [None, [], "loop", 1], ids=repr)
def test_something_else_than_a_dictionary_is_refused(
    value: object, read_them: Callable[[], object]
) -> None:
    with override_settings(LOOM=value), pytest.raises(LoomSettingError) as raised:
        read_them()
    assert str(raised.value) == f"LOOM must be a dictionary; it is {value!r}."


def test_it_is_read_once() -> None:
    with override_settings(LOOM={"THREADS": 3}):
        assert read(section_of("THREADS")) is read(section_of("THREADS"))


def test_overridden_settings_hold_as_long_as_their_block() -> None:
    before = values()
    with override_settings(LOOM={"THREADS": 3}):
        with override_settings(LOOM={"THREADS": 4}):
            assert values()["THREADS"] == 4
        assert values()["THREADS"] == 3
    assert values() == before


def test_a_wrong_value_does_not_stay() -> None:
    with override_settings(LOOM={"THREADS": 0}), pytest.raises(LoomSettingError):
        require_valid()
    assert values()["THREADS"] >= 1


@pytest.mark.parametrize("key", DEFAULTS)
def test_it_cannot_be_changed(key: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(read(section_of(key)), key, DEFAULTS[key])


@pytest.mark.parametrize("error", [LoomSettingError, AppNotInstalled])
def test_the_errors_are_ones_of_configuration(error: type[Exception]) -> None:
    assert issubclass(error, LoomError)
    assert issubclass(error, ImproperlyConfigured)


def test_every_key_is_tested() -> None:
    keys = [key for each in sections() for key in keys_of(each)]
    assert sorted(keys) == sorted(DEFAULTS)
    assert list(DEFAULTS) == list(RIGHT) == list(WRONG) == list(EXPECTED)


def test_a_key_is_of_one_room() -> None:
    keys = [key for each in sections() for key in keys_of(each)]
    assert len(keys) == len(set(keys))


# The app.


def test_nothing_is_refused_where_the_app_is_installed() -> None:
    require_app("This")


@modify_settings(INSTALLED_APPS={"remove": ["django_loom"]})
def test_a_missing_app_is_refused() -> None:
    with pytest.raises(AppNotInstalled) as raised:
        require_app("This")
    assert str(raised.value) == (
        "This needs the app 'django_loom', which is not in INSTALLED_APPS. "
        'Write INSTALLED_APPS = ["django_loom", ...].'
    )


@modify_settings(INSTALLED_APPS={"remove": ["django_loom"]})
def test_nothing_is_refused_before_the_apps_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apps, "ready", False)
    require_app("This")


PROJECT = """
import django
from django.apps import apps
from django.conf import settings
settings.configure(
    INSTALLED_APPS=[],
    DATABASES={"default": {"ENGINE": "django_loom.db.sqlite3", "NAME": ":memory:"}},
)
django.setup()
from django.db import connection
connection.cursor()
"""


def test_an_engine_without_the_app_does_not_connect() -> None:
    call = [sys.executable, "-c", PROJECT]
    result = subprocess.run(call, capture_output=True, text=True, check=False)
    last = result.stderr.splitlines()[-1]
    assert last.startswith(
        "django_loom.exceptions.AppNotInstalled: The ENGINE of DATABASES['default'] needs the app"
    )
