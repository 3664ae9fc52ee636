"""The modules that run a project without an edit of it, in a directory of the lab's own."""

from __future__ import annotations

from pathlib import Path

# By Django's engines: what to replace each by.
ENGINES = {
    "django.db.backends.postgresql": "django_loom.db.postgresql",
    "django.contrib.gis.db.backends.postgis": "django_loom.db.postgis",
    "django.db.backends.sqlite3": "django_loom.db.sqlite3",
}
APPLICATION = """\
from {module} import get_{kind}_application

application = get_{kind}_application()
"""
LOOM_SETTINGS = """\
from importlib import import_module

from {settings} import *

_project = import_module("{settings}")
_engines = {engines!r}


def _on_loom(database):
    if not database.get("ENGINE"):
        return database
    kept = {{name: value for name, value in database.items() if name != "CONN_MAX_AGE"}}
    engine = _engines.get(database["ENGINE"], database["ENGINE"])
    options = {{"pool": True, **database.get("OPTIONS", {{}})}}
    return {{**kept, "ENGINE": engine, "OPTIONS": options}}


DATABASES = {{
    alias: _on_loom(database) for alias, database in getattr(_project, "DATABASES", {{}}).items()
}}
INSTALLED_APPS = [
    "django_loom",
    *(app for app in getattr(_project, "INSTALLED_APPS", ()) if app != "django_loom"),
]
"""


def write_modules(directory: Path, settings: str) -> None:
    """Write the modules of each server, and the settings with django-loom put in."""
    modules = {
        "lab_gunicorn": "",
        "lab_wsgi": APPLICATION.format(module="django.core.wsgi", kind="wsgi"),
        "lab_asgi": APPLICATION.format(module="django.core.asgi", kind="asgi"),
        "lab_loom_asgi": APPLICATION.format(module="django_loom.asgi", kind="asgi"),
        "lab_loom_settings": LOOM_SETTINGS.format(settings=settings, engines=ENGINES),
    }
    for name, source in modules.items():
        directory.joinpath(f"{name}.py").write_text(source)
