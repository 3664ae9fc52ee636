"""Every name that django-loom rebinds in foreign modules; nothing else rebinds any.

Django's async methods are ``sync_to_async()`` around its synchronous ones. Here
those calls take the bridge instead of a thread, but for work that blocks or burns
CPU. ``sync_to_async()`` in the user's own code is not touched.
"""

from __future__ import annotations

import logging
import sys
from _threading_local import local as PythonThreadLocal
from asyncio import _get_running_loop
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial, wraps
from importlib import import_module
from operator import attrgetter
from types import MethodType
from typing import Any

import asgiref.local
import asgiref.sync
import django
from asgiref.sync import AsyncToSync, SyncToAsync, async_to_sync, iscoroutinefunction
from django.apps import apps
from django.core.handlers.asgi import ASGIRequest
from django.db import connections

from .bridge import (
    ClosedApart,
    await_,
    begin_unit,
    cancel_again,
    current_call,
    current_thread_call,
    current_unit,
    leave_unit,
    loop_hidden,
    run_sync,
    thread_waiting,
    wait_in_thread_call,
)
from .offload import Flow, executor
from .reroute_table import CALL_SITES, Policy
from .units import Local, ThreadLocal, sweep

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


def _sync_to_async(policy: Policy) -> Callable[[Any], Any]:
    """Return what replaces ``sync_to_async`` in the modules of a policy."""

    def replacement(original: Any) -> Any:
        @wraps(asgiref.sync.sync_to_async)
        def sync_to_async(
            func: Any = None, *, thread_sensitive: bool = True, **options: Any
        ) -> Any:
            caller = sys._getframe(1).f_code.co_name
            if func is not None and policy.takes(func, thread_sensitive, caller):
                return partial(run_sync, func)
            if func is not None and policy.executor is not None and not thread_sensitive:
                return partial(executor(policy.executor).run, func)
            return original(func, thread_sensitive=thread_sensitive, **options)

        return sync_to_async

    return replacement


def _call_async_to_sync(original: Any) -> Any:
    """Await in the loop that runs the caller, if it runs below ``run_sync()``.

    Plain code of a thread waits there, and the async code is the thread's.
    """

    @wraps(original)
    def __call__(self: AsyncToSync[..., Any], *args: Any, **kwargs: Any) -> Any:
        # A loop that runs inside the call has coroutines of its own: asgiref refuses there.
        if _get_running_loop() is not None:
            return original(self, *args, **kwargs)
        if current_call() is not None:
            return await_(self.awaitable(*args, **kwargs))
        if current_thread_call() is not None:
            return wait_in_thread_call(self.awaitable(*args, **kwargs))
        if current_unit() is not None:  # in a thread, where no `await_()` tells of the wait
            storage: Any = connections._connections
            storage.thread_waits()
        loop = getattr(SyncToAsync.threadlocal, "main_event_loop", None)
        with thread_waiting(None if self.force_new_loop else loop) as waiting:
            awaitable = self.awaitable(*args, **kwargs)
            served = AsyncToSync(partial(waiting.serve, awaitable), self.force_new_loop)
            return original(served)

    return __call__


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


def _begun_in_thread(original: Any) -> Any:
    """Let a call know whether it may leave its thread to others while it waits."""
    from .db.begun import begun_in_thread

    return begun_in_thread


def _in_waiting_thread(original: Any) -> Any:
    """Let ``run_sync()`` know how a function gets to the thread that waits for the caller."""
    return SyncToAsync


def _loops_of_threads(original: Any) -> Any:
    """Let ``run_sync()`` know the loops that threads wait for."""
    return AsyncToSync.loop_thread_executors


def _leases() -> AbstractContextManager[None]:
    """Return what is entered around a function that async code runs in a thread."""
    storage: Any = connections._connections
    leases: AbstractContextManager[None]
    leases = getattr(storage, "leases_end", nullcontext)()  # not before the app is ready
    return leases


def _run_in_thread(original: Any) -> Any:
    """Hold no pooled connection in a thread after the function that async code ran there."""

    @wraps(original)
    def thread_handler(self: SyncToAsync[..., Any], *args: Any) -> Any:
        *before, child = args  # which is called in the context of the async code
        return original(self, *before, Flow(child, _leases))

    return thread_handler


def _closed_apart(original: Any) -> Any:
    """Let what waits for a thread set no variables where it is closed, in others' code."""

    @wraps(original)
    async def __call__(self: SyncToAsync[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await ClosedApart(original(self, *args, **kwargs))

    return __call__


def _without_cancellations(original: Any) -> Any:
    """Have a cancellation come again that a destructor has raised, and report what is left."""

    @wraps(original)
    def unraisablehook(unraisable: Any, /) -> None:
        if not cancel_again(unraisable.exc_value):
            original(unraisable)

    return unraisablehook


def _as_flow(original: Any) -> Any:
    """Let a function that ``asyncio.to_thread()`` runs be one flow, which ends with it."""

    @wraps(original)
    async def to_thread(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        flow = Flow(partial(function, *args, **kwargs), _leases)
        del function, args, kwargs
        return await original(flow)

    return to_thread


def _in_thread_for(work: str) -> Callable[[Any], Any]:
    """Return what lets synchronous code on a loop do such work in a thread of its executor."""

    def replacement(original: Any) -> Any:
        @wraps(original)
        def in_thread(*args: Any, **kwargs: Any) -> Any:
            return executor(work).call(original, *args, **kwargs)

        return in_thread

    return replacement


def _call_method_directly(original: Any) -> Any:
    """Let the chain of middleware call a bound method where it has an object to call.

    Python calls a method without using the C stack, an object not. Of the C stack each
    wait copies what is in use, to and fro.
    """

    @wraps(original)
    def convert_exception_to_response(get_response: Any) -> Any:
        method = getattr(get_response, "__call__", None)  # noqa: B004 - only objects have one
        if isinstance(method, MethodType) and not iscoroutinefunction(get_response):
            get_response = method
        return original(get_response)

    return convert_exception_to_response


def _csrf_before_body(original: Any) -> Any:
    """Check a CSRF token in the header before the body is read."""
    from .http.csrf import check_header_first

    return check_header_first(original)


def _remote_user_by_header(original: Any) -> Any:
    """Look for the user where the async twin does: an ASGI request has no ``REMOTE_USER``."""

    @wraps(original)
    def process_request(self: Any, request: Any) -> None:
        if isinstance(request, ASGIRequest):
            async_to_sync(self.aprocess_request)(request)
        else:
            original(self, request)

    return process_request


def _by_sync_twin(original: Any) -> Any:
    """Take the bridge where an async function hashes a password on the loop itself.

    Its synchronous twin does the same, and hashes in a thread.
    """
    *path, name = original.__qualname__.split(".")
    twin_name = ".".join([*path, name.replace("a", "", 1)])
    twin = attrgetter(twin_name)(import_module(original.__module__))

    @wraps(original)
    async def replacement(*args: Any, **kwargs: Any) -> Any:
        # A callback that is async, as acheck_password() takes one, is awaited.
        args = tuple(async_to_sync(a) if iscoroutinefunction(a) else a for a in args)
        return await run_sync(twin, *args, **kwargs)

    return replacement


def _connection_storage(original: Any) -> Any:
    """Choose connections by task and call; keep those that this thread has."""
    from .db.storage import ConnectionStorage

    storage = ConnectionStorage()
    for alias in connections:
        if hasattr(original, alias):
            setattr(storage, alias, getattr(original, alias))
    return storage


def _all_connections(original: Any) -> Any:
    """Look at the connections that a unit has, without giving it those that it may never use.

    Django does so three times for each request, with signals.
    """
    from .db.storage import present_connections

    @wraps(original)
    def all_connections(self: Any, initialized_only: bool = False) -> Any:
        if not initialized_only or self is not connections:
            return original(self, initialized_only)
        return present_connections()

    return all_connections


def _enter_atomic(original: Any) -> Any:
    """Enter as whoever came before us did, with turns for those who share the connection."""
    from .db import transaction

    @wraps(original)
    def __enter__(self: Any) -> None:
        transaction.enter(self, original)

    return __enter__


def _exit_atomic(original: Any) -> Any:
    from .db import transaction

    @wraps(original)
    def __exit__(self: Any, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        transaction.exit(self, original, exc_type, exc_value, traceback)

    return __exit__


def _callbacks_without_loop(original: Any) -> Any:
    """Let callbacks of a commit use the ORM where a coroutine captures them.

    They use the test's own connection, and block the loop of the test alone.
    """

    @contextmanager
    def capture(cls: Any, *args: Any, **kwargs: Any) -> Any:
        block = original.__func__(cls, *args, **kwargs)
        callbacks = block.__enter__()
        try:
            yield callbacks
        except BaseException as error:
            if not block.__exit__(type(error), error, error.__traceback__):
                raise
        else:
            with loop_hidden():
                block.__exit__(None, None, None)

    return classmethod(wraps(original.__func__)(capture))


def _as_unit(original: Any) -> Any:
    """Serve a request of Django's own handlers as a unit of work, as ours does."""

    @wraps(original)
    async def serve(*args: Any, **kwargs: Any) -> Any:
        unit, token = begin_unit()
        try:
            return await original(*args, **kwargs)
        finally:
            leave_unit(token)
            try:
                unit.end()
            except Exception as error:
                logger.warning("%s", error)

    return serve


def _local_of_units(original: Any) -> Any:
    """Make locals that a unit of work keeps, but where another has replaced the class."""
    return Local if original in (ThreadLocal, PythonThreadLocal) else original


_AUTH = "django.contrib.auth"
_hash = _in_thread_for("passwords")

REBINDINGS: tuple[Rebinding, ...] = (
    Rebinding("threading", "local", _local_of_units, at_load=True),
    Rebinding("_threading_local", "local", _local_of_units, at_load=True),
    Rebinding("sys", "unraisablehook", _without_cancellations),
    Rebinding("asyncio", "to_thread", _as_flow, at_load=True),
    Rebinding("asyncio.threads", "to_thread", _as_flow, at_load=True),
    Rebinding("asgiref.sync", "AsyncToSync.__call__", _call_async_to_sync),
    Rebinding("django_loom.bridge.waiting_threads", "in_thread", _in_waiting_thread),
    Rebinding("django_loom.bridge.waiting_threads", "loops", _loops_of_threads),
    Rebinding("django_loom.bridge.waiting_threads", "block_thread", _block_thread),
    Rebinding("django_loom.bridge.waiting_threads", "begun_in_thread", _begun_in_thread),
    Rebinding("asgiref.sync", "SyncToAsync.__call__", _closed_apart),
    Rebinding("asgiref.sync", "SyncToAsync.thread_handler", _run_in_thread),
    Rebinding("django.db", "connections._connections", _connection_storage),
    Rebinding("django.db.utils", "ConnectionHandler.all", _all_connections),
    Rebinding("django.db.transaction", "Atomic.__enter__", _enter_atomic),
    Rebinding("django.db.transaction", "Atomic.__exit__", _exit_atomic),
    Rebinding("django.core.handlers.asgi", "ASGIHandler.handle", _as_unit),
    Rebinding("django.test.client", "AsyncClientHandler.__call__", _as_unit),
    Rebinding(
        "django.test.testcases", "TestCase.captureOnCommitCallbacks", _callbacks_without_loop
    ),
    Rebinding("django.core.handlers.base", "convert_exception_to_response", _call_method_directly),
    Rebinding("django.middleware.csrf", "CsrfViewMiddleware._check_token", _csrf_before_body),
    Rebinding("django.utils.log", "AdminEmailHandler.send_mail", _in_thread_for("mail")),
    # Each module that has these names of its own.
    Rebinding("django.contrib.auth.hashers", "verify_password", _hash),
    Rebinding("django.contrib.auth.hashers", "make_password", _hash),
    Rebinding("django.contrib.auth.base_user", "make_password", _hash, _AUTH),
    Rebinding("django.contrib.auth.models", "make_password", _hash, _AUTH),
    Rebinding("django.contrib.auth.hashers", "acheck_password", _by_sync_twin, None, (6, 0)),
    Rebinding(
        "django.contrib.auth.backends", "ModelBackend.aauthenticate", _by_sync_twin, _AUTH, (6, 1)
    ),
    Rebinding(
        "django.contrib.auth.base_user", "AbstractBaseUser.acheck_password", _by_sync_twin, _AUTH
    ),
    Rebinding("django.contrib.auth.models", "UserManager._acreate_user", _by_sync_twin, _AUTH),
    Rebinding(
        "django.contrib.auth.middleware",
        "RemoteUserMiddleware.process_request",
        _remote_user_by_header,
        _AUTH,
        (6, 1),
    ),
    *(
        Rebinding(module, "sync_to_async", _sync_to_async(sites.policy), sites.app)
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
