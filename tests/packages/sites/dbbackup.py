"""django-dbbackup: it takes the dump program that belongs to the ENGINE."""

from __future__ import annotations

from dbbackup.db.base import get_connector
from django.urls import URLPattern

from tests.packages.visits import Visits

urlpatterns: list[URLPattern] = []


async def visit(visits: Visits) -> None:
    connector = await visits.in_sync(get_connector)
    visits.check("connector", "PgDumpBinaryConnector", type(connector).__name__)
