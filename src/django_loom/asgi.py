"""What a project's ``asgi.py`` imports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

import django
from django.db import connections

from .conf import require_app
from .db import serving
from .db.holders import begin_at
from .db.lifespan import close_pools, open_pools, sweep_pools
from .db.transaction import AsyncAtomic
from .http import handler
from .http.handler import LoomHandler
from .http.hooks import DatabaseHooks
from .http.lifespan import Lifespan, no_lifespan

begin_at(handler)


def get_asgi_application(lifespan: Lifespan = no_lifespan) -> LoomHandler:
    """Return the ASGI application, as ``django.core.asgi`` does.

    :param lifespan: called with the application when the server starts; it returns an
        async context manager that is left when the server stops. The mapping that this
        gives, if any, is in ``request.scope["state"]`` of each request.
    :raises AppNotInstalled: ``"django_loom"`` is not in ``INSTALLED_APPS``.
    """
    django.setup(set_prefix=False)
    require_app("get_asgi_application() of django_loom.asgi")
    return LoomHandler(database_hooks(), lifespan)


def database_hooks() -> DatabaseHooks:
    """Return what the handler asks of the database."""
    return DatabaseHooks(_atomic, _thread_leases, _before_wait, _pools, serving.begin)


def _atomic(alias: str) -> AsyncAtomic:
    return AsyncAtomic(alias, savepoint=True, durable=False)


def _thread_leases() -> AbstractContextManager[None]:
    storage: Any = connections._connections
    leases: AbstractContextManager[None] = storage.leases_end()
    return leases


def _before_wait() -> None:
    storage: Any = connections._connections
    storage.thread_waits()


@asynccontextmanager
async def _pools() -> AsyncIterator[None]:
    await open_pools()
    sweeping = asyncio.create_task(sweep_pools())
    try:
        yield
    finally:
        sweeping.cancel()
        await close_pools()
