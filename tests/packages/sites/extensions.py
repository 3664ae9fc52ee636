"""django-extensions: its commands for databases know the ENGINE."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO

from django.conf import settings
from django.core.management import call_command
from django.urls import URLPattern

from tests.packages.visits import Visits

urlpatterns: list[URLPattern] = []


def address() -> str:
    """What sqldsn says, which knows nothing of a database with another ENGINE."""
    output = StringIO()
    with redirect_stdout(output):
        call_command("sqldsn", quiet=True)
    return output.getvalue().strip()


async def visit(visits: Visits) -> None:
    name = settings.DATABASES["default"]["NAME"]
    found = await visits.in_sync(address)
    visits.check("the address has the database's name", True, name in found)
