"""Fixtures of the database tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import psycopg
import pytest
from django.conf import settings
from django.db import connections

import django_loom
from django_loom.db import registry
from django_loom.db.pool_errors import describe
from django_loom.replacements.threads import without_cancellations
from tests import services
from tests.db.support import MEETING_POINT, NO_MEETING_POINT, second_alias


@pytest.fixture
def meeting_point(postgres: services.Postgres, db_tables: None) -> Iterator[None]:
    """The function `meet(parties)` on the database of the alias `default`."""
    name = settings.DATABASES["default"]["NAME"]
    with psycopg.connect(postgres.dsn, dbname=name, autocommit=True) as connection:
        connection.execute(MEETING_POINT)
        yield
        connection.execute(NO_MEETING_POINT)


@pytest.fixture(params=["postgresql", "sqlite"])
def alias(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database whose pool has one place, so that a lost one is noticed."""
    of = "default" if request.param == "postgresql" else "sqlite"
    with second_alias(of, OPTIONS={"pool": {"max_size": 1, "timeout": 10}}) as alias:
        yield alias


@pytest.fixture(autouse=True)
def no_lease_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test gives back every connection that it took."""
    yield
    if "db_tables" not in request.fixturenames:
        return
    connections.close_all()  # those of the test's own thread
    for alias in ("default", "other"):
        pool = django_loom.pool(alias)
        if pool.statistics().used:
            registry.close(alias)  # so that no other test fails for it
            pytest.fail(describe(pool._state))


@pytest.fixture
def cancelled_destructors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put our hook above pytest's, which replaces it when the tests begin."""
    monkeypatch.setattr(sys, "unraisablehook", without_cancellations(sys.unraisablehook))
