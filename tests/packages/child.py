"""Lets many visit the site of a package: `python -m tests.packages.child <row> <engine>`.

In a process of its own, for each site has settings of its own, and packages patch Django. It
prints what was expected and what came. PACKAGES_WORLD=stock runs it on Django alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from importlib import import_module
from typing import Any

from django.conf import settings

from tests.packages.table import Row, rows
from tests.packages.visits import STOCK, VISITORS, Visits, psycopg_address

BACKENDS = "django.db.backends" if STOCK else "django_loom.db"
CONTRIB = ["django.contrib.contenttypes", "django.contrib.auth"]
ROOM = VISITORS + 16


class NoMigrations(dict[str, None]):
    """Tables come straight from the models, in a fifth of the time."""

    def __contains__(self, label: str) -> bool:
        return True

    def __getitem__(self, label: str) -> None:
        return None


def make_role(address: dict[str, str]) -> None:
    """A role that may do everything in the database; the fixture drops it."""
    import psycopg
    from psycopg import sql

    role = sql.Identifier(address["NAME"])
    with psycopg.connect(**psycopg_address(address)) as connection:
        connection.execute(sql.SQL("CREATE ROLE {}").format(role))
        connection.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(role))


def settings_of(row: Row, engine: str) -> dict[str, Any]:
    backend = f"{BACKENDS}.{engine}"
    own = json.loads(json.dumps(row.settings).replace("{engine}", backend))
    options: dict[str, Any] = {} if STOCK else {"pool": {"max_size": ROOM}}
    if engine == "sqlite3":
        quick = "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF"
        options |= {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": quick}
    address = json.loads(os.environ["PACKAGES_DATABASE"])
    if row.role:
        make_role(address)
        options["assume_role"] = address["NAME"]
    database = {
        "ENGINE": row.engine.replace("{engine}", backend),
        "OPTIONS": options,
        **address,
    }
    given: dict[str, Any] = {
        "ALLOWED_HOSTS": ["*"],
        "DATABASES": {"default": database},
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "INSTALLED_APPS": [*CONTRIB, *row.apps, "tests.packages.apps.SiteConfig"],
        "LOGGING_CONFIG": None,
        "MIDDLEWARE": row.middleware,
        "MIGRATION_MODULES": NoMigrations(),
        "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
        "ROOT_URLCONF": row.module,
        "SECRET_KEY": "for the tests only",
        "USE_TZ": True,
    }
    if not STOCK:
        given["INSTALLED_APPS"].insert(0, "django_loom")
        given["LOOM"] = {"THREADS": ROOM, "STREAM_THREADS": ROOM}
    return given | own


def application() -> Any:
    if STOCK:
        from django.core.asgi import get_asgi_application
    else:
        from django_loom.asgi import get_asgi_application
    return get_asgi_application()


async def visited(visit: Any) -> list[Any]:
    visits = Visits(application())
    await visit(visits)
    return visits.findings


def main(name: str, engine: str) -> list[Any]:
    row = rows()[name]
    settings.configure(**settings_of(row, engine))

    import django

    django.setup()

    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.core.management.commands import migrate
    from django.db import connections

    site = import_module(row.module)
    # Django's own command, where a package has another of that name.
    call_command(migrate.Command(), verbosity=0, interactive=False, run_syncdb=True)
    User.objects.bulk_create(User(pk=n + 1, username=f"user{n}") for n in range(VISITORS))
    if hasattr(site, "prepare"):
        site.prepare()
    connections.close_all()
    return asyncio.run(visited(site.visit))


if __name__ == "__main__":
    output, sys.stdout = sys.stdout, sys.stderr  # packages that print do not spoil the findings
    print(json.dumps(main(*sys.argv[1:])), file=output)
