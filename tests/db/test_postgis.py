"""The PostGIS engine: ours over Django's, where GDAL is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

import django_loom
from django_loom.bridge import current_call
from django_loom.db import registry
from django_loom.db.postgresql.connection import LoomConnection
from tests.loops import LoopRunner


def gdal_is_there() -> bool:
    try:
        import django.contrib.gis.gdal.libgdal  # noqa: F401
    except ImproperlyConfigured:
        return False
    return True


needs_gdal = pytest.mark.skipif(not gdal_is_there(), reason="GDAL is not installed")


@pytest.mark.skipif(gdal_is_there(), reason="GDAL is installed")
def test_without_gdal_the_error_is_that_of_django() -> None:
    with pytest.raises(ImproperlyConfigured, match="GDAL"):
        import django_loom.db.postgis.base  # noqa: F401


@pytest.fixture
def gis(postgres_tables: None) -> Iterator[str]:
    """An alias for the engine, on a server that need not have PostGIS."""
    database: dict[str, Any] = settings.DATABASES["default"]
    connections.settings["gis"] = {**database, "ENGINE": "django_loom.db.postgis"}
    yield "gis"
    registry.close("gis")
    del connections.settings["gis"]


@needs_gdal
def test_queries_wait_on_the_loop(loop_runner: LoopRunner, gis: str) -> None:
    from django.contrib.gis.db.backends.postgis.base import DatabaseWrapper as DjangosWrapper

    def query() -> int:
        connection: Any = connections[gis]
        assert isinstance(connection, DjangosWrapper)
        with connection.cursor() as cursor:
            cursor.execute("SELECT 41 + 1")
            assert isinstance(connection.connection, LoomConnection)
            assert current_call() is not None
            return int(cursor.fetchone()[0])

    assert loop_runner(django_loom.run_sync, query) == 42
    assert django_loom.pool(gis).statistics().used == 0
