"""Every name that django-loom rebinds in foreign modules; nothing else rebinds any.

Django's async methods are ``sync_to_async()`` around its synchronous ones. Here
those calls take the bridge instead of a thread, but for work that blocks or burns
CPU. ``sync_to_async()`` in the user's own code is not touched.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from operator import attrgetter
from typing import Any

import asgiref.local
import django
from asgiref.sync import SyncToAsync, async_to_sync
from django.apps import apps

from .replacements import database, requests, threads, waiting
from .reroute_table import CALL_SITES
from .units import sweep

logger = logging.getLogger("django_loom")


@dataclass(frozen=True, slots=True)
class Rebinding:
    """One foreign name: ``module``, the path of the attribute in it, and its value.

    ``replacement`` gets the present value. ``app`` must be installed, if named;
    Django must be older than ``before``. With ``at_load`` it is done when the app is
    loaded, before other apps and models are imported.
    """

    module: str
    attribute: str
    replacement: Callable[[Any], Any]
    app: str | None = None
    before: tuple[int, int] | None = None
    at_load: bool = False


def _block_thread(original: Any) -> Any:
    """Let a call block the thread that waits for it, as asgiref does with a plain function.

    A cancellation comes by the call, whose thread may have served others meanwhile.
    """

    def block_thread(awaitable: Any, loop: Any) -> Any:
        async def wait() -> Any:
            return await awaitable

        SyncToAsync.threadlocal.main_event_loop = loop
        SyncToAsync.threadlocal.task_context = None
        return async_to_sync(wait)()

    return block_thread


_AUTH = "django.contrib.auth"
_hash = threads.in_thread_for("passwords")

REBINDINGS: tuple[Rebinding, ...] = (
    Rebinding("threading", "local", requests.local_of_units, at_load=True),
    Rebinding("_threading_local", "local", requests.local_of_units, at_load=True),
    Rebinding("sys", "unraisablehook", threads.without_cancellations),
    Rebinding("asyncio", "to_thread", threads.as_flow, at_load=True),
    Rebinding("asyncio.threads", "to_thread", threads.as_flow, at_load=True),
    Rebinding("asgiref.sync", "AsyncToSync.__call__", waiting.call_async_to_sync),
    Rebinding("django_loom.bridge.waiting_threads", "in_thread", waiting.in_waiting_thread),
    Rebinding("django_loom.bridge.waiting_threads", "loops", waiting.loops_of_threads),
    Rebinding("django_loom.bridge.waiting_threads", "block_thread", _block_thread),
    Rebinding("django_loom.bridge.waiting_threads", "begun_in_thread", waiting.begun_in_thread),
    Rebinding("asgiref.sync", "SyncToAsync.__call__", threads.closed_apart),
    Rebinding("asgiref.sync", "SyncToAsync.thread_handler", threads.run_in_thread),
    Rebinding("django.db", "connections._connections", database.connection_storage),
    Rebinding("django.db.utils", "ConnectionHandler.all", database.all_connections),
    Rebinding("django.db.transaction", "Atomic.__enter__", database.enter_atomic),
    Rebinding("django.db.transaction", "Atomic.__exit__", database.exit_atomic),
    Rebinding("django.core.handlers.asgi", "ASGIHandler.handle", requests.as_unit),
    Rebinding("django.test.client", "AsyncClientHandler.__call__", requests.as_unit),
    Rebinding(
        "django.test.testcases",
        "TestCase.captureOnCommitCallbacks",
        database.callbacks_without_loop,
    ),
    Rebinding(
        "django.core.handlers.base", "convert_exception_to_response", requests.call_method_directly
    ),
    Rebinding(
        "django.middleware.csrf", "CsrfViewMiddleware._check_token", requests.csrf_before_body
    ),
    Rebinding(
        "django.http.response",
        "StreamingHttpResponse._set_streaming_content",
        requests.note_iterators,
    ),
    Rebinding(
        "django.http.response",
        "StreamingHttpResponse.streaming_content",
        requests.note_readers,
    ),
    Rebinding("django.utils.log", "AdminEmailHandler.send_mail", threads.in_thread_for("mail")),
    # Each module that has these names of its own.
    Rebinding("django.contrib.auth.hashers", "verify_password", _hash),
    Rebinding("django.contrib.auth.hashers", "make_password", _hash),
    Rebinding("django.contrib.auth.base_user", "make_password", _hash, _AUTH),
    Rebinding("django.contrib.auth.models", "make_password", _hash, _AUTH),
    Rebinding("django.contrib.auth.hashers", "acheck_password", threads.by_sync_twin, None, (6, 0)),
    Rebinding(
        "django.contrib.auth.backends",
        "ModelBackend.aauthenticate",
        threads.by_sync_twin,
        _AUTH,
        (6, 1),
    ),
    Rebinding(
        "django.contrib.auth.base_user",
        "AbstractBaseUser.acheck_password",
        threads.by_sync_twin,
        _AUTH,
    ),
    Rebinding(
        "django.contrib.auth.models", "UserManager._acreate_user", threads.by_sync_twin, _AUTH
    ),
    Rebinding(
        "django.contrib.auth.middleware",
        "RemoteUserMiddleware.process_request",
        requests.remote_user_by_header,
        _AUTH,
        (6, 1),
    ),
    *(
        Rebinding(module, "sync_to_async", threads.sync_to_async(sites.policy), sites.app)
        for module, sites in CALL_SITES.items()
        if sites.policy.reroutes
    ),
)

# What has been rebound: the row, the owner of the name, the name, and its value before.
_rebound: list[tuple[Rebinding, Any, str, Any]] = []
# The same for locals in any module, which no row can name.
_replaced: list[tuple[Any, str, Any]] = []


def is_installed() -> bool:
    """Tell if the rerouting is in place."""
    return bool(_rebound)


def install_at_load() -> None:
    """Rebind what cannot wait until all apps are loaded, as the app does when it is loaded."""
    _rebind_rows([row for row in REBINDINGS if row.at_load])


def install() -> None:
    """Rebind the names of the table that are not rebound yet.

    The app does this when Django starts. Without the app, call it yourself; before
    ``django.setup()`` it leaves out modules that need a loaded application.
    """
    _rebind_rows(REBINDINGS)
    if apps.apps_ready:
        _replace_older_locals()


def uninstall() -> None:
    """Put every name back, as tests do."""
    while _replaced:
        _put(*_replaced.pop())
    while _rebound:
        _, owner, name, original = _rebound.pop()
        setattr(owner, name, original)


def _rebind_rows(rows: Iterable[Rebinding]) -> None:
    done = {row for row, *_ in _rebound}
    for row in rows:
        if row not in done and _applies(row):
            _rebind(row)


def _replace_older_locals() -> None:
    """Replace locals that are older than the app."""
    for found in sweep.replacements():
        try:
            _put(found.owner, found.attribute, found.replacement)
        except (AttributeError, TypeError):
            continue  # a class or an object that refuses: the system check names it
        _replaced.append((found.owner, found.attribute, found.value))


def _put(owner: Any, name: str, value: Any) -> None:
    # An asgiref local takes an attribute that is set for one of its values.
    put = object.__setattr__ if type(owner).__module__ == asgiref.local.__name__ else setattr
    put(owner, name, value)


def _applies(row: Rebinding) -> bool:
    if row.before is not None and django.VERSION[:2] >= row.before:
        return False
    return row.app is None or (apps.apps_ready and apps.is_installed(row.app))


def _rebind(row: Rebinding) -> None:
    try:
        module = import_module(row.module)
    except ModuleNotFoundError:
        return  # a module that this version of Django does not have
    path, _, name = row.attribute.rpartition(".")
    owner = attrgetter(path)(module) if path else module
    original = vars(owner).get(name, getattr(owner, name, None))  # a classmethod, not bound
    if original is not None:  # not every version uses the name in each module
        setattr(owner, name, row.replacement(original))
        _rebound.append((row, owner, name, original))
