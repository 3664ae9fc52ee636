"""The system checks: each id, and what brings it about."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import pytest
from django.core.checks import Error, Warning, registry, run_checks

from django_loom import checks
from tests.db.support import database

POSTGRESQL = {"ENGINE": "django_loom.db.postgresql", "NAME": "nowhere"}


@pytest.fixture
def stock() -> Iterator[None]:
    with database("stock", ENGINE="tests.fake_engine", NAME="nowhere"):
        yield


def test_the_settings_of_the_tests_are_right() -> None:
    assert checks.check_engines() == []


@pytest.mark.usefixtures("stock")
def test_an_engine_that_blocks_is_an_error() -> None:
    (message,) = checks.check_engines()
    assert isinstance(message, Error)
    assert message.id == "django_loom.E001"
    assert "'stock'" in message.msg
    assert "'tests.fake_engine'" in message.msg
    assert "django_loom.db.threaded.ThreadedDatabaseMixin" in str(message.hint)


def test_a_pool_beside_conn_max_age_is_a_warning() -> None:
    with database("kept", **POSTGRESQL, CONN_MAX_AGE=60, OPTIONS={"pool": {"max_size": 1}}):
        (message,) = checks.check_engines()
    assert isinstance(message, Warning)
    assert message.id == "django_loom.W001"
    assert "'kept'" in message.msg
    assert "max_lifetime" in str(message.hint)


@pytest.mark.parametrize(
    "entry",
    [
        {**POSTGRESQL, "CONN_MAX_AGE": 60},
        {**POSTGRESQL, "OPTIONS": {"pool": True}},
        {"ENGINE": "django.db.backends.dummy"},
        {"ENGINE": "tests.fake_engine.on_loop", "NAME": "nowhere"},
    ],
    ids=["max age without pool", "pool without max age", "no database", "threaded"],
)
def test_what_works_is_not_mentioned(entry: dict[str, object]) -> None:
    with database("fine", **entry):
        assert checks.check_engines() == []


@pytest.mark.usefixtures("stock")
def test_django_runs_the_checks() -> None:
    assert checks.check_engines in registry.registry.registered_checks
    found = run_checks(tags=["database"], databases=["stock"])
    assert "django_loom.E001" in [message.id for message in found]


def test_ids_are_unique() -> None:
    ids = re.findall(r'id="(django_loom\.[EW]\d{3})"', inspect.getsource(checks))
    assert len(ids) == len(set(ids)) == 2
