"""What a project's ``asgi.py`` imports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

import django
from django.db import connections

from .conf import require_app, require_valid
from .db import serving
from .db.holders import begin_at
from .db.lifespan import close_pools, open_pools, sweep_pools
from .db.transaction import AsyncAtomic
from .http import handler
from .http.collector import set_collector
from .http.handler import LoomHandler
from .http.hooks import DatabaseHooks
from .http.lifespan import Lifespan, no_lifespan
from .offload import close_executors

begin_at(handler)


def get_asgi_application(lifespan: Lifespan = no_lifespan) -> LoomHandler:
    """Return the ASGI application, as ``django.core.asgi`` does.

    :param lifespan: called with the application when the server starts; it returns an
        async context manager that is left when the server stops. The mapping that this
        gives, if any, is in ``request.scope["state"]`` of each request.
    :raises AppNotInstalled: ``"django_loom"`` is not in ``INSTALLED_APPS``.
    :raises LoomSettingError: the setting ``LOOM`` has a key or a value that is not valid.
    """
    django.setup(set_prefix=False)
    require_app("get_asgi_application() of django_loom.asgi")
    require_valid()
    rooms = (_pools, _executors, _view_threads, lifespan, _collector)
    return LoomHandler(database_hooks(), rooms)


def database_hooks() -> DatabaseHooks:
    """Return what the handler asks of the database."""
    return DatabaseHooks(_atomic, _thread_leases, _before_wait, serving.begin)


def _atomic(alias: str) -> AsyncAtomic:
    return AsyncAtomic(alias, savepoint=True, durable=False)


def _thread_leases() -> AbstractContextManager[None]:
    storage: Any = connections._connections
    leases: AbstractContextManager[None] = storage.leases_end()
    return leases


def _before_wait() -> None:
    storage: Any = connections._connections
    storage.thread_waits()


# What begins and ends with the server's process. Each begins after what it uses, and ends before.


@asynccontextmanager
async def _pools(application: LoomHandler) -> AsyncIterator[None]:
    await open_pools()
    sweeping = asyncio.create_task(sweep_pools())
    try:
        yield
    finally:
        sweeping.cancel()
        await close_pools()


@asynccontextmanager
async def _executors(application: LoomHandler) -> AsyncIterator[None]:
    try:
        yield
    finally:
        close_executors()


@asynccontextmanager
async def _view_threads(application: LoomHandler) -> AsyncIterator[None]:
    try:
        yield
    finally:
        application.threads.close()
        application.stream_threads.close()


@asynccontextmanager
async def _collector(application: LoomHandler) -> AsyncIterator[None]:
    """Set Python's collector when all else has begun, which it need not look at again."""
    with set_collector(application.settings.GC_THRESHOLD):
        yield
