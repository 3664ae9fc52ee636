"""`OPTIONS["pool"]` is read exactly, and an error names the key."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from django_loom.db.pool_options import PoolOptions
from django_loom.exceptions import PoolOptionError
from tests.db.support import database


@pytest.mark.parametrize("value", [None, True, False, {}], ids=repr)
def test_the_defaults_apply_without_a_dictionary(value: object) -> None:
    assert PoolOptions.from_settings("default", value) == PoolOptions()


def test_every_key_is_read() -> None:
    given = {
        "min_size": 2,
        "max_size": 7,
        "timeout": 1.5,
        "max_waiting": 0,
        "max_lifetime": 60,
        "max_idle": float("inf"),
        "per_unit": True,
    }
    assert PoolOptions.from_settings("default", given) == PoolOptions(**given)


@pytest.mark.parametrize("value", ["20", 20, ["max_size"]], ids=repr)
def test_another_kind_of_value_is_refused(value: object) -> None:
    with pytest.raises(
        PoolOptionError, match=r"DATABASES\['shop'\]\['OPTIONS'\]\['pool'\] must be"
    ):
        PoolOptions.from_settings("shop", value)


def test_an_unknown_key_is_refused_and_the_known_ones_are_listed() -> None:
    with pytest.raises(PoolOptionError, match=r"no key 'maxsize'\. It takes min_size, max_size"):
        PoolOptions.from_settings("default", {"maxsize": 3})


@pytest.mark.parametrize("key", ["min_size", "max_size", "max_waiting"])
@pytest.mark.parametrize("value", [-1, 1.5, "5", True, None], ids=repr)
def test_a_count_is_a_whole_number(key: str, value: Any) -> None:
    with pytest.raises(PoolOptionError, match=rf"\['{key}'\] must be a whole number, 0 or more"):
        PoolOptions.from_settings("default", {key: value})


@pytest.mark.parametrize("key", ["timeout", "max_lifetime", "max_idle"])
@pytest.mark.parametrize("value", [-0.1, "5", False, None, float("nan")], ids=repr)
def test_a_time_is_a_number_of_seconds(key: str, value: Any) -> None:
    with pytest.raises(PoolOptionError, match=rf"\['{key}'\] must be a number of seconds"):
        PoolOptions.from_settings("default", {key: value})


@pytest.mark.parametrize("value", [0, 1, "yes", None], ids=repr)
def test_a_switch_is_true_or_false(value: Any) -> None:
    with pytest.raises(PoolOptionError, match=r"\['per_unit'\] must be True or False, not "):
        PoolOptions.from_settings("default", {"per_unit": value})


@pytest.mark.parametrize("value", [{"max_size": 0}, {"min_size": 4, "max_size": 3}], ids=repr)
def test_the_pool_has_room(value: dict[str, int]) -> None:
    with pytest.raises(PoolOptionError, match=r"\['max_size'\] must be at least"):
        PoolOptions.from_settings("default", value)


def test_the_error_comes_when_django_makes_the_connection_object() -> None:
    wrong = {"ENGINE": "django_loom.db.postgresql", "OPTIONS": {"pool": {"size": 3}}}
    with database("wrong", **wrong), pytest.raises(ImproperlyConfigured, match="no key 'size'"):
        connections["wrong"]
