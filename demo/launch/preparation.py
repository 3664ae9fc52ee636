"""The tables and the data that the site begins with."""

from __future__ import annotations

import fcntl
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class PreparationFailed(Exception):
    """The site cannot be prepared; the message says why."""


def prepare() -> str:
    """Create the tables and the seed data; what is there already stays.

    :return: what the database is, for people.
    :raises PreparationFailed: a setting is wrong, or the database cannot be used.
    """
    # Imported late: Django takes a moment, in which the first line should be there already.
    import django
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import call_command
    from django.db import Error, connection

    # Not only where there is none: a shell may have that of another project.
    os.environ["DJANGO_SETTINGS_MODULE"] = "demo.project.settings"
    try:
        django.setup()
        with _one_at_a_time(settings.DATA):
            call_command("migrate", interactive=False, verbosity=0)
            call_command("seed", verbosity=0, stdout=io.StringIO())
    except ImproperlyConfigured as error:
        raise PreparationFailed(str(error)) from error
    except (Error, OSError) as error:
        raise PreparationFailed(f"{type(error).__name__}: {str(error).strip()}") from error
    described = _describe(connection.settings_dict)
    connection.close()
    return described


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Let a second demo on the same data wait until the first has made its tables."""
    with (folder / "preparation.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _describe(database: dict[str, object]) -> str:
    kind = "PostgreSQL" if "postgresql" in str(database["ENGINE"]) else "SQLite"
    return f"{kind}, {database['NAME']}"
