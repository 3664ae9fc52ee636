"""Django's system checks, one for each mistake that settings can make; each room has its own.

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

from typing import Any

from django.core.checks import CheckMessage, Error, register

from .conf import require_valid
from .exceptions import LoomSettingError
from .units.checks import check_locks, check_thread_keys, check_thread_locals


def register_checks() -> None:
    """Register the checks of all rooms."""
    # They import what needs apps that are loaded.
    from .db.checks import check_engines
    from .http.checks import check_asgi_module

    # Not tagged as of databases, for it connects to none: Django would run it only if asked to.
    register(check_engines)
    register(check_loom_setting)
    register(check_asgi_module)
    register(check_thread_locals)
    register(check_thread_keys)
    register(check_locks)


def check_loom_setting(**kwargs: Any) -> list[CheckMessage]:
    """Read the setting ``LOOM``."""
    try:
        require_valid()
    except LoomSettingError as error:
        return [
            Error(
                str(error),
                hint="The keys, and what each takes, are in the documentation's page on settings.",
                id="django_loom.E002",
            )
        ]
    return []
