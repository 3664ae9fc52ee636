"""System checks of databases."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.db import connections

from .wrapper import LoomDatabaseMixin


def check_engines(**kwargs: Any) -> list[CheckMessage]:
    """Compare the ENGINE of each database with what can wait on a loop."""
    messages: list[CheckMessage] = []
    for alias in connections:
        connection: Any = connections[alias]
        if connection.vendor == "unknown":
            continue
        engine = settings.DATABASES.get(alias, {}).get("ENGINE")
        if not isinstance(connection, LoomDatabaseMixin):
            messages.append(_engine_blocks(alias, engine))
        elif connection.settings_dict["CONN_MAX_AGE"] != 0 and connection.settings_dict[
            "OPTIONS"
        ].get("pool"):
            messages.append(_max_age(alias))
    return messages


def _engine_blocks(alias: str, engine: object) -> CheckMessage:
    return Error(
        f"DATABASES[{alias!r}] has the ENGINE {engine!r}, which cannot wait on an event loop.",
        hint=(
            "Use 'django_loom.db.postgresql', 'django_loom.db.postgis' or "
            "'django_loom.db.sqlite3', or put django_loom.db.threaded.ThreadedDatabaseMixin "
            "before the engine's DatabaseWrapper."
        ),
        id="django_loom.E001",
    )


def _max_age(alias: str) -> CheckMessage:
    return Warning(
        f"DATABASES[{alias!r}] has both CONN_MAX_AGE and OPTIONS['pool'].",
        hint=(
            "A thread would keep its pooled connection for CONN_MAX_AGE seconds while "
            "others wait for one. Remove CONN_MAX_AGE; use 'max_lifetime' in "
            "OPTIONS['pool'] to limit the age of connections."
        ),
        id="django_loom.W001",
    )
