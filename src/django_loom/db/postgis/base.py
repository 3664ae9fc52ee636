"""``ENGINE = "django_loom.db.postgis"``; needs GDAL, as Django's own does."""

from __future__ import annotations

from django.contrib.gis.db.backends.postgis import base

from django_loom.db.postgresql.base import PostgreSQLMixin


class DatabaseWrapper(PostgreSQLMixin, base.DatabaseWrapper):
    """Django's PostGIS backend, with queries that wait on the event loop."""
