"""The tables and the data that the site begins with."""

from __future__ import annotations

import io
import os


class PreparationFailed(Exception):
    """The site cannot be prepared; the message says why."""


def prepare() -> str:
    """Create the tables and the seed data; what is there already stays.

    :return: what the database is, for people.
    :raises PreparationFailed: a setting is wrong, or the database cannot be used.
    """
    # Imported late: Django takes a moment, in which the first line should be there already.
    import django
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import call_command
    from django.db import Error, connection

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.project.settings")
    try:
        django.setup()
        call_command("migrate", interactive=False, verbosity=0)
        call_command("seed", verbosity=0, stdout=io.StringIO())
    except (Error, ImproperlyConfigured, OSError) as error:
        raise PreparationFailed(f"{type(error).__name__}: {error}") from error
    described = _describe(connection.settings_dict)
    connection.close()
    return described


def _describe(database: dict[str, object]) -> str:
    kind = "PostgreSQL" if "postgresql" in str(database["ENGINE"]) else "SQLite"
    return f"{kind}, {database['NAME']}"
