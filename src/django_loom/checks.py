"""Django's system checks, one for each mistake that settings can make.

=====================  ==========================================================================
``django_loom.E001``   A database's ENGINE would block the event loop.
``django_loom.E002``   The setting ``LOOM`` has an unknown key, or a value that is not valid.
``django_loom.W001``   A database has CONN_MAX_AGE and OPTIONS["pool"]. Without the pool
                       CONN_MAX_AGE is fine: it is for synchronous servers, and does nothing
                       on a loop.
``django_loom.W002``   The project's ASGI module still makes Django's own application. It is
                       the module of ASGI_APPLICATION, else the ``asgi`` beside that of
                       WSGI_APPLICATION.
``django_loom.W003``   A module made a ``threading.local``, or a subclass of it, before
                       django-loom was loaded, in a place where it cannot be replaced.
``django_loom.W004``   A module of the project, its apps or its middleware asks which thread it
                       is in: ``threading.current_thread()`` or ``get_ident()``. What it keeps
                       by that is not the request's. A thread's name is not meant.
``django_loom.W005``   A module of the middleware makes a lock of threads, such as an ``RLock``.
=====================  ==========================================================================

What cannot be left to a check is an error at start: an unsupported version of Python or
Django, and an app that is not in INSTALLED_APPS, whose checks would not run.
"""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from .conf import loom_settings
from .exceptions import LoomSettingError
from .units import identities, sweep


def register_checks() -> None:
    """Register every check of this module."""
    # Not tagged as of databases, for it connects to none: Django would run it only if asked to.
    register(check_engines)
    register(check_loom_setting)
    register(check_asgi_module)
    register(check_thread_locals)
    register(check_thread_keys)
    register(check_locks)


def check_engines(**kwargs: Any) -> list[CheckMessage]:
    """Compare the ENGINE of each database with what can wait on a loop."""
    from django.db import connections

    from .db.wrapper import LoomDatabaseMixin

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


def check_loom_setting(**kwargs: Any) -> list[CheckMessage]:
    """Read the setting ``LOOM``."""
    try:
        loom_settings()
    except LoomSettingError as error:
        return [
            Error(
                str(error),
                hint="The keys, and what each takes, are in django_loom.conf.LoomSettings.",
                id="django_loom.E002",
            )
        ]
    return []


def check_asgi_module(**kwargs: Any) -> list[CheckMessage]:
    """Read, without importing it, which application the project's ASGI module makes."""
    path = _asgi_module()
    if path is None:
        return []
    imported = _imported_modules(path)
    if "django.core.asgi" not in imported or "django_loom.asgi" in imported:
        return []
    return [
        Warning(
            f"{path} makes Django's own ASGI application, which runs each request in threads.",
            hint=(
                "Write `from django_loom.asgi import get_asgi_application` there. Silence this "
                "if the project is not served over ASGI."
            ),
            id="django_loom.W002",
        )
    ]


def check_thread_locals(**kwargs: Any) -> list[CheckMessage]:
    """Look for locals that are older than ours and still there."""
    found = dict.fromkeys((each.module, each.name) for each in sweep.find())
    return [
        Warning(
            f"{name} in {module} is a threading.local from before django_loom was loaded: "
            "concurrent requests share its values.",
            hint=(
                "Put 'django_loom' first in INSTALLED_APPS, and do not import this module from "
                'the settings. If it does no harm, name it in LOOM["THREAD_LOCALS"].'
            ),
            id="django_loom.W003",
        )
        for module, name in found
    ]


def check_thread_keys(**kwargs: Any) -> list[CheckMessage]:
    """Look for code of the project that may keep something by its thread."""
    return [
        Warning(
            f"{use.module} asks for its thread in line {use.line} ({use.name}): it has the same "
            "thread for concurrent requests, and others for parts of one request.",
            hint=(
                "Where it keeps a value by the thread, use a threading.local, which has the "
                "request's values here, or a context variable."
            ),
            id="django_loom.W004",
        )
        for use in identities.thread_keys()
    ]


def check_locks(**kwargs: Any) -> list[CheckMessage]:
    """Look for locks in the modules of the middleware, which runs on the loop."""
    return [
        Warning(
            f"{use.module} has a lock of threads in line {use.line} ({use.name}). Requests on the "
            "loop have one thread: an RLock does not keep them apart, and another lock that "
            "one of them holds across a wait blocks them all.",
            hint=(
                "Hold it across no query and no get_response(). For what has to wait use a lock "
                "of the database, as select_for_update() takes, or an async middleware with an "
                "asyncio.Lock."
            ),
            id="django_loom.W005",
        )
        for use in identities.locks_of_middleware()
    ]


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


def _asgi_module() -> Path | None:
    """Return the source file of the project's ASGI module, if it can be told which that is."""
    asgi: object = getattr(settings, "ASGI_APPLICATION", None)
    wsgi: object = getattr(settings, "WSGI_APPLICATION", None)
    if isinstance(asgi, str):
        module = asgi.rpartition(".")[0]
    elif isinstance(wsgi, str) and wsgi.count(".") > 1:
        module = wsgi.rsplit(".", 2)[0] + ".asgi"
    else:
        return None
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def _imported_modules(path: Path) -> set[str]:
    """Return the modules that a source file imports, or imports names from, in any place."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return set()
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
            modules.update(f"{node.module}.{alias.name}" for alias in node.names)
    return modules
